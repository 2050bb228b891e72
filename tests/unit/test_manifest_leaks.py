"""A secret written into the manifest is refused, and never echoed."""

from pathlib import Path

import pytest

from credmgr.likeness import random_looking
from credmgr.manifest.leaks import REMEDY, shape, shown
from tests.manifest_world import GOOD, refusals

RANDOM = "q7Hd02kXz91LmPv5TbYw"
UUID = "0b8e5f3a-7c1d-4e2b-9a6f-1d2c3b4a5e6f"

SHAPES = [
    ("a CaseForge API key", "cf_sand_8Jk2mQ"),
    ("a CaseForge API key", "cf_live_8Jk2mQ"),
    ("a sandbox client secret", "cfs_ab12cd34ef56gh78"),
    ("credmgr's master key", "credmgr-master-key-v1:AAAA"),
    ("a JSON Web Token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"),
    ("a private key", "-----BEGIN PRIVATE KEY-----"),
    ("a private key", "-----BEGIN RSA PRIVATE KEY-----"),
    ("a private key", "-----BEGIN ENCRYPTED PRIVATE KEY-----"),
    ("a Vault token", "hvs.CAESIJ1234567890abcdef"),
    ("a Vault token", "s.8Jk2mQabcdefghijklmnopqr"),
    ("an AWS access key", "AKIAIOSFODNN7EXAMPLE"),
    ("an AWS access key", "ASIAIOSFODNN7EXAMPLE"),
    ("a URL with a password", "postgresql://credmgr:hunter2@db/credmgr"),
    ("a URL with a password", "https://:hunter2@db"),
    ("a URL with a password", "https://db/x?user=a&password=hunter2"),
]


@pytest.mark.parametrize(("kind", "value"), SHAPES)
def test_a_value_with_the_shape_of_a_secret_is_refused_wherever_it_stands(
    tmp_path: Path, kind: str, value: str
) -> None:
    text = GOOD.replace("owner: payments-team", f'owner: "x {value}"')

    said = refusals(tmp_path, text)

    assert said == [f"credmgr.yaml:12:12: {kind} is written into the manifest; {REMEDY}"]


@pytest.mark.parametrize(("kind", "value"), SHAPES)
def test_a_secret_in_a_comment_is_refused(tmp_path: Path, kind: str, value: str) -> None:
    text = GOOD.replace("version: 1", f"version: 1 # {value}")

    said = refusals(tmp_path, text)

    column = 14 + max(value.find("&"), 0)
    assert said == [f"credmgr.yaml:1:{column}: {kind} is written into a comment; {REMEDY}"]


@pytest.mark.parametrize("value", [RANDOM, UUID, "0123456789abcdef0123456789abcdef"])
@pytest.mark.parametrize("key", ["admin_token", "clientSecret", "db-password", "api_keys", "key"])
def test_a_random_value_under_the_name_of_a_secret_is_refused(
    tmp_path: Path, key: str, value: str
) -> None:
    text = GOOD.replace("path: elsewhere", f'{key}: "{value}"')

    said = refusals(tmp_path, text)

    assert f": a secret is written into the manifest; {REMEDY}" in said[1]
    assert "unknown key" in said[0]
    assert value not in "\n".join(said)


@pytest.mark.parametrize(
    "value", ["caseforge/api-key-2024", "https://a/b", "env:A1234567890123456"]
)
def test_a_value_that_a_person_chose_is_no_secret(tmp_path: Path, value: str) -> None:
    text = GOOD.replace("path: elsewhere", f"signing_key: {value}")

    assert refusals(tmp_path, text) == ["credmgr.yaml:5:24: unknown key `signing_key`"]


def test_a_secret_as_a_key_is_refused_without_echo(tmp_path: Path) -> None:
    text = GOOD.replace("    store:", "    cf_live_8Jk2mQ: x\n    store:")

    assert refusals(tmp_path, text) == [
        f"credmgr.yaml:14:5: a CaseForge API key is written into the manifest; {REMEDY}"
    ]


def test_a_secret_hidden_by_escapes_is_found(tmp_path: Path) -> None:
    text = GOOD.replace("owner: payments-team", r'owner: "\x63f_live_8Jk2mQ"')

    assert "a CaseForge API key is written" in refusals(tmp_path, text)[0]


def test_a_secret_under_a_refused_key_is_found(tmp_path: Path) -> None:
    text = GOOD.replace("    store:", "    owner: {password: q7Hd02kXz91LmPv5TbYw}\n    store:")

    said = refusals(tmp_path, text)

    assert len(said) == 2
    assert RANDOM not in "\n".join(said)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kind: api-key", "kind: {value}"),
        ("issuer: caseforge", "issuer: {value}"),
        ("environment: development", "environment: {value}"),
        ("store: local", "store: {value}"),
        ("store: local", "store: {{backend: local, name: {value}}}"),
        ("store: local", "store: local\n    {value}: x"),
        ("store: local", "store: local\n    scopes: [{value}, {value}]"),
        ("store: local", "store: local\n    rotation: {{zone: {value}}}"),
        ("store: local", "store: local\n    rotation: {{cron: {value}}}"),
        ("store: local", "store: local\n    rotation: {{every: {value}}}"),
        ("caseforge/api-key", "{value}"),
        ("plugin: authority", "plugin: {value}"),
        ("version: 1", "version: {value}"),
        ("version: 1", "version: 1\ninclude: [{value}]"),
        ("version: 1", "version: 1\npolicies: [{value}]"),
        ("master_key: file:master.key", "master_key: {value}"),
        ("master_key: file:master.key", "master_key: 123456789012345678901234"),
        ("path: elsewhere", "token: {value}"),
        ("path: elsewhere", "path: never {value}"),
    ],
)
@pytest.mark.parametrize("value", [RANDOM, "cf_live_8Jk2mQwertz", "12345678901234567"])
def test_no_message_echoes_what_may_be_a_secret(
    tmp_path: Path, old: str, new: str, value: str
) -> None:
    said = "\n".join(refusals(tmp_path, GOOD.replace(old, new.format(value=value), 1) + "x: 1\n"))

    assert "unknown key `x`" in said
    assert value not in said or value.isdecimal()


def test_a_number_under_the_name_of_a_secret_is_not_echoed(tmp_path: Path) -> None:
    plain = GOOD.replace("caseforge/api-key:", "caseforge/api-key:\n    options: {key_name: 5}")
    secret = GOOD.replace("caseforge/api-key:", "caseforge/api-key:\n    client_id: 5")
    hidden = GOOD.replace("plugin: authority", "plugin: authority, url_password: 8642")

    assert 'quote it: "5"' in "\n".join(refusals(tmp_path, plain))
    assert 'quote it: "5"' in "\n".join(refusals(tmp_path, secret))
    assert "8642" not in "\n".join(refusals(tmp_path, hidden))


def test_long_input_is_searched_in_little_time() -> None:
    for text in (
        "eyJ" * 300_000,
        "a" * 900_000,
        "://:" * 200_000,
        "s." * 400_000,
        "AKIA" * 200_000,
    ):
        assert shape(text) is None
        random_looking(text)


def test_a_text_is_shown_only_when_it_is_short_printable_and_harmless() -> None:
    assert shown("caseforge/api-key") == "`caseforge/api-key`"
    assert shown("x" * 61) == "this value"
    assert shown("a\nb") == "this value"
    assert shown(RANDOM, "it") == "it"
