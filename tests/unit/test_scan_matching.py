"""A managed secret is found whatever stands around it, however it is coded, and nothing else."""

import base64
import json
import secrets
import string
import textwrap
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credmgr.model import bearers
from credmgr.model.names import Name
from credmgr.model.version import VersionStatus
from credmgr.scan.decoding import texts
from credmgr.scan.managed import Looks
from credmgr.scan.matching import Matcher
from credmgr.scan.runs import Runs
from credmgr.scan.shapes import shaped
from tests.scan_world import FINGERPRINTER, live_key, matches, matching, ours, version

ODD = "pass/Wörd+{with}=signs&more"
PLAIN = "k" + secrets.token_hex(16)
URLSAFE = "A-b_" + secrets.token_urlsafe(24) + "_-z"
CODINGS: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 behind one byte": lambda text: base64.b64encode(f"x:{text}".encode()),
    "base64 behind two bytes": lambda text: base64.b64encode(f"xy:{text}".encode()),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(f"???>>>:{text}".encode()).rstrip(
        b"="
    ),
    "base64 with a line end": lambda text: base64.b64encode(f"{text}\n".encode()),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())),
    "base64 in lines": lambda text: base64.encodebytes(
        f"{'a: b, ' * 20}{text} {'c' * 40}".encode()
    ),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "hexadecimal escapes": lambda text: "".join(f"\\x{b:02x}" for b in text.encode()).encode(),
    "percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
    "URL": lambda text: quote(text, safe="").encode(),
    "JSON": lambda text: json.dumps({"value": text}).encode(),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"value": text})).encode(),
    "JSON in numbers": lambda text: "".join(f"\\u{ord(char):04x}" for char in text).encode(),
    "UTF-16, little end first": lambda text: text.encode("utf-16-le"),
    "UTF-16, big end first": lambda text: text.encode("utf-16-be"),
    "UTF-16 at an odd place": lambda text: b"\x00\xffx" + text.encode("utf-16-le"),
}


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return matching(PLAIN, URLSAFE)()


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("value", [PLAIN, URLSAFE], ids=["plain", "urlsafe"])
def test_it_is_found_in_every_coding(matcher: Matcher, value: str, coding: str) -> None:
    text = b"before: it\nvalue = " + CODINGS[coding](value) + b"\nafter"
    found = ours(matcher, text)
    assert found
    assert {match.fingerprint for match in found} == {version(value).fingerprint}


DELIMITERS = st.text(st.sampled_from(" \t\n\r\"'`=:;,.!?()[]{}<>|&^%$#@*+~/\\-_"), max_size=3)
WORDS = st.text(st.sampled_from(string.ascii_letters + string.digits), max_size=12)


@given(before=WORDS, opening=DELIMITERS, closing=DELIMITERS, after=WORDS)
def test_it_is_found_between_any_delimiters(
    matcher: Matcher, before: str, opening: str, closing: str, after: str
) -> None:
    head = before + opening if opening else ""
    tail = closing + after if closing else ""
    for value in (PLAIN, URLSAFE):
        assert ours(matcher, head + value + tail)


@given(st.text(st.sampled_from(string.printable), min_size=8, max_size=300))
def test_no_random_text_is_taken_for_it(matcher: Matcher, text: str) -> None:
    assert not ours(matcher, text)


@pytest.mark.parametrize("context", ['x = "{}"', "KEY={}\n", "- token: {}", "a {} b", "[{}]"])
def test_one_with_odd_signs_is_found(context: str) -> None:
    text = context.format(ODD)
    assert ours(matching(ODD)(), text)
    assert ours(matching(PLAIN, whole=False, versions=[version(ODD)])(), text)


def test_without_any_store_to_ask_it_is_found_as_a_word() -> None:
    blind = matching(versions=[version(PLAIN), version(URLSAFE)])()
    for value in (PLAIN, URLSAFE):
        for text in (
            value,
            f"k={value};",
            f"https://u:{value}@host/",
            f"x.{value}.y",
            f"'{value}'",
        ):
            assert ours(blind, text), text


def test_a_private_key_is_found_over_its_lines_indented_or_in_one() -> None:
    body = "\n".join(textwrap.wrap(base64.b64encode(secrets.token_bytes(120)).decode(), 64))
    key = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    matcher = matching(PLAIN, versions=[version(key)])()
    assert ours(matcher, f"x\n{key}\ny")
    assert ours(matcher, f"key: |\n{textwrap.indent(key, '    ')}\n")
    assert ours(matcher, json.dumps({"key": key}))


def test_a_revoked_one_is_told_apart() -> None:
    old = "r" + secrets.token_hex(16)
    matcher = matching(PLAIN, versions=[version(old, VersionStatus.REVOKED)])()
    (dead,) = ours(matcher, f"old={old}")
    (live,) = ours(matcher, f"new={PLAIN}")
    assert (dead.rule, live.rule) == ("revoked-secret", "managed-secret")


def test_a_secret_of_two_credentials_is_told_of_both() -> None:
    shared = version(PLAIN), version(PLAIN, name=Name("team/other"))
    found = ours(matching(PLAIN, versions=shared[1:])(), PLAIN)
    assert {match.owned.credential for match in found if match.owned} == {"team/key", "team/other"}


def test_a_short_word_is_never_looked_for() -> None:
    assert Looks.of([], whole=True).shortest == 16
    assert not ours(matching(PLAIN, versions=[version("secret")])(), "secret secret")


def test_one_that_is_ours_is_not_told_a_second_time_by_its_form() -> None:
    key = live_key()
    (found,) = matches(matching(key)(), f"key = '{key}'")
    assert found.rule == "managed-secret"
    assert found.shown == "cf_live_"


def test_nothing_that_is_told_holds_the_value() -> None:
    key = live_key()
    for match in matches(matching(key)(), f"a={key}\nb={base64.b64encode(key.encode()).decode()}"):
        assert key[8:] not in repr(match)


def test_a_bearer_is_told_with_its_consumer() -> None:
    bearer = bearers.new_bearer().reveal()
    known = {bearers.digest(bearer.encode()): Name("nightly-report")}
    (found,) = matches(Matcher(b"salt", consumers=known), f"Authorization: Bearer {bearer}")
    assert (found.rule, found.consumer) == ("credmgr-bearer", "nightly-report")


SHAPED = {
    "caseforge-live-key": f'api_key="{live_key()}"',
    "caseforge-sandbox-key": "export KEY=cf_sand_" + secrets.token_hex(10),
    "caseforge-client-secret": "secret: cf_secret_" + secrets.token_hex(20),
    "credmgr-master-key": "credmgr-master-key-v1:" + base64.b64encode(bytes(range(32))).decode(),
    "client-secret": 'clientSecret: "q7Rz81Lm20XaPv55TqWe"',
}


@pytest.mark.parametrize("rule", SHAPED)
def test_a_secret_is_known_by_its_form(rule: str) -> None:
    assert [match.rule for match in matches(Matcher(b"salt"), SHAPED[rule])] == [rule]


@pytest.mark.parametrize(
    "text",
    [
        "cf_live_xxxxxxxxxxxxxxxx",
        "cf_live_your_key_here",
        "cf_live_…",
        "client_secret=get_secret('caseforge/client-secret')",
        "client_secret=${CLIENT_SECRET_FROM_THE_STORE}",
        "CASEFORGE_API_KEY_DOCUMENTATION_PAGE",
    ],
)
def test_a_placeholder_is_none(text: str) -> None:
    assert list(shaped(text.encode())) == []


@given(st.binary(max_size=400), st.integers(1, 20))
def test_runs_are_what_an_expression_finds(data: bytes, least: int) -> None:
    wanted = b"abc\x00\x01"
    runs = list(Runs(wanted, least).find(data))
    for start, run in runs:
        assert data[start : start + len(run)] == run
        assert set(run) <= set(wanted)
        assert start + len(run) == len(data) or data[start + len(run)] not in wanted
    inside = {start + offset for start, run in runs for offset in range(len(run))}
    streak = 0
    for index, byte in enumerate([*data, 255]):
        if byte in wanted:
            streak += 1
            continue
        assert (streak >= least) == (index - 1 in inside and streak > 0)
        streak = 0


@given(st.binary(max_size=2000))
def test_any_bytes_are_decoded_without_harm(data: bytes) -> None:
    assert next(iter(texts(data, 16))).data == data
    for text in texts(data, 16):
        assert 0 <= text.at <= len(data)


def test_the_whole_hash_begins_with_the_fingerprint() -> None:
    assert FINGERPRINTER.whole(PLAIN.encode()).hex()[:16] == version(PLAIN).fingerprint
