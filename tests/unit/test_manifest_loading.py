"""What a manifest becomes when nothing is wrong with it, and everything at once when much is."""

import os
from datetime import time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from credmgr.errors import ManifestError
from credmgr.manifest import DaemonSettings, StateSettings, load
from credmgr.model.consumer import Consumer, Grant, Readable
from credmgr.model.credential import (
    Credential,
    Drift,
    Environment,
    Kind,
    Overlap,
    Place,
    Retry,
    RotationPolicy,
    Schedule,
    Target,
    Window,
)
from credmgr.model.names import Name
from tests.manifest_world import (
    FULL,
    GOOD,
    AuthorityOptions,
    BellOptions,
    BoxOptions,
    Colour,
    FakePlugins,
    Pool,
    read,
    refusals,
)


def test_every_key_reaches_the_model(tmp_path: Path) -> None:
    manifest = read(tmp_path, FULL)

    assert manifest.state == StateSettings(
        database="postgresql://credmgr@db/credmgr",
        database_password="file:pg.password",  # noqa: S106 (a reference)
        master_key="systemd-credential:master.key",
        keyring=tmp_path / "keys/ring.json",
        checkpoint=Path("/var/lib/credmgr/checkpoint"),
    )
    assert manifest.daemon == DaemonSettings(
        timedelta(seconds=1), 2, timedelta(seconds=5), timedelta(seconds=15)
    )
    assert [use.pack for use in manifest.policies] == ["default", "strict/pci"]
    assert manifest.home == tmp_path
    assert manifest.files == (tmp_path / "credmgr.yaml",)
    assert manifest.consumers == {
        "billing": Consumer(
            name=Name("billing"),
            owner="payments-team",
            grants=(
                Grant(Name("caseforge/app"), frozenset(Readable), scopes=frozenset({"cases:read"})),
            ),
            description="Bills",
        )
    }


def test_plugins_get_their_own_dataclasses(tmp_path: Path) -> None:
    manifest = read(tmp_path, FULL)
    local, caseforge = manifest.backends[Name("local")], manifest.issuers[Name("caseforge")]

    assert local.plugin == "box"
    assert local.options == BoxOptions(
        token="env:BOX",  # noqa: S106 (a reference)
        pool=Pool(9, timedelta(minutes=1)),
        tags=("a",),
        colour=Colour.RED,
        strict=True,
        share=1.0,
        extra={"a": 1},
    )
    assert manifest.backends[Name("other")].options == BoxOptions(path="elsewhere")
    assert caseforge.options == AuthorityOptions("http://localhost", "file:t")
    assert manifest.notifiers[Name("log")].options == BellOptions(loud=True)


def test_a_credential_reaches_the_model_whole(tmp_path: Path) -> None:
    credential = read(tmp_path, FULL).credentials[Name("caseforge/app")]

    assert credential == Credential(
        name=Name("caseforge/app"),
        kind=Kind.OAUTH_CLIENT,
        issuer=Name("caseforge"),
        owner="payments-team",
        environment=Environment.PRODUCTION,
        store=Place(Name("local"), Name("apps/one")),
        targets=(
            Target(Place(Name("other"), Name("caseforge/app"))),
            Target(Place(Name("other"), Name("two")), required=False, drift=Drift.REPAIR),
            Target(Place(Name("file"), Name("caseforge/app"))),
            Target(Place(Name("file"), Name("three")), drift=Drift.REPAIR),
        ),
        scopes=frozenset({"cases:read", "cases:write"}),
        client_id="app_8v3k9m",
        policy=RotationPolicy(
            Schedule(
                every=timedelta(days=90),
                cron="0 3 * * 1",
                zone=ZoneInfo("Europe/Berlin"),
                windows=(
                    Window(frozenset({1, 7}), time(22), time(5)),
                    Window(frozenset(range(1, 8)), time(12), time(13)),
                ),
                jitter=0.1,
            ),
            Overlap(timedelta(minutes=90), timedelta(days=2)),
            Retry(timedelta(seconds=2), timedelta(minutes=5), 3, timedelta(minutes=1)),
        ),
        options={"key_name": "x"},
        description="The app",
    )


def test_what_is_left_out_is_as_the_model_has_it(tmp_path: Path) -> None:
    manifest = read(tmp_path, GOOD)
    credential = manifest.credentials[Name("caseforge/api-key")]

    assert credential.policy == RotationPolicy()
    assert credential.store == Place(Name("local"), Name("caseforge/api-key"))
    assert manifest.daemon == DaemonSettings()
    assert manifest.state == StateSettings(
        database=f"sqlite:///{tmp_path}/state.db",
        database_password=None,
        master_key="file:master.key",
        keyring=tmp_path / "keyring.json",
        checkpoint=tmp_path / "audit.checkpoint",
    )


def test_a_manifest_without_credentials_is_a_manifest(tmp_path: Path) -> None:
    manifest = read(tmp_path, "version: 1\nstate: {master_key: env:KEY}\n")

    assert manifest.credentials == {}


def test_a_byte_order_mark_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()

    assert read(tmp_path, text).digest == read(tmp_path, GOOD).digest


def test_the_digest_is_of_the_meaning_not_of_the_layout(tmp_path: Path) -> None:
    digest = read(tmp_path, GOOD).digest

    assert read(tmp_path, "# hello\n" + GOOD.replace("version: 1", "version:   1")).digest == digest
    assert read(tmp_path, GOOD.replace("payments", "billing")).digest != digest


def test_a_consumer_of_the_wrong_shape_is_told_about_once(tmp_path: Path) -> None:
    text = GOOD + (
        "consumers:\n"
        "  Odd: {owner: o}\n"
        "  a: 5\n"
        "  b: {owner: o, grants: 5}\n"
        "  c: {owner: o, grants: [5, {credential: [x], read: 5, scopes: 5}]}\n"
    )

    assert [line.split(";")[0] for line in refusals(tmp_path, text)] == [
        "credmgr.yaml:16:3: `Odd` is not a name",
        "credmgr.yaml:17:6: expected a mapping, found `5`",
        "credmgr.yaml:18:25: expected a list, found `5`",
        "credmgr.yaml:19:26: expected a mapping, found `5`",
        "credmgr.yaml:19:42: expected text, found a list",
        "credmgr.yaml:19:53: expected a list, found `5`",
        "credmgr.yaml:19:64: expected a list, found `5`",
    ]


def test_an_issuer_that_tells_no_scopes_takes_any(tmp_path: Path) -> None:
    text = GOOD.replace("http://127.0.0.1:8660", "http://unknown") + "    scopes: [anything]\n"

    assert read(tmp_path, text).credentials[Name("caseforge/api-key")].scopes == {"anything"}


def test_a_grant_may_narrow_a_credential_that_leaves_its_scopes_to_the_issuer(
    tmp_path: Path,
) -> None:
    text = GOOD + (
        "  app: {kind: oauth-client, issuer: caseforge, client_id: a, owner: o,\n"
        "        environment: test, store: local}\n"
        "consumers:\n"
        "  billing: {owner: o, grants: [{credential: app, read: [token], scopes: [any]}]}\n"
    )

    consumer = read(tmp_path, text).consumers[Name("billing")]

    assert consumer.grant(Name("app")) == consumer.grants[0]
    assert consumer.grant(Name("caseforge/api-key")) is None


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    text = """\
version: 2
state: {master_key: file:master.key, keyrng: x}
backends:
  local: {plugin: bx}
  other: {plugin: box, pth: elsewhere}
issuers:
  caseforge: {plugin: authority, url: nowhere, admin_token: abc}
consumers:
  Billing: {grants: [{credential: caseforge/api-kye, read: [secret]}]}
credentials:
  caseforge/api-key: &anchor
    kind: api-kye
    kind: api-key
    issuer: casforge
    environment: no
    store: loco
    scpoes: [cases:read]
    rotation: {every: 90}
"""

    assert [line.split(";")[0] for line in refusals(tmp_path, text)] == [
        "credmgr.yaml:1:10: this credmgr reads version 1 of the manifest",
        "credmgr.yaml:2:38: unknown key `keyrng`",
        "credmgr.yaml:4:19: no plugin `bx`",
        "credmgr.yaml:5:24: unknown key `pth`",
        "credmgr.yaml:7:61: expected a reference to a secret, not a value",
        "credmgr.yaml:9:3: missing key `owner`",
        "credmgr.yaml:9:3: `Billing` is not a name",
        "credmgr.yaml:9:35: no credential `caseforge/api-kye`",
        "credmgr.yaml:11:3: missing key `owner`",
        "credmgr.yaml:11:22: YAML anchors are refused",
        "credmgr.yaml:12:11: `api-kye` is not one of `api-key`, `oauth-client`",
        "credmgr.yaml:13:5: `kind` is given twice",
        "credmgr.yaml:14:13: no issuer `casforge`",
        (
            "credmgr.yaml:15:18: expected one of `development`, `test`, `staging`, `production`, "
            "found `no`"
        ),
        "credmgr.yaml:16:12: no backend `loco`",
        "credmgr.yaml:17:5: unknown key `scpoes`",
        "credmgr.yaml:18:23: not a duration, a bare number has no unit",
    ]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (Path.exists, "cannot be read: no such file or directory"),
        (os.mkfifo, "cannot be read: not a regular file"),
        (Path.mkdir, "cannot be read: is a directory"),
        (lambda path: path.write_bytes(b"#" * (1024 * 1024 + 1)), "is larger than 1 MiB; split it"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, make: Any, what: str) -> None:
    path = tmp_path / "credmgr.yaml"
    make(path)

    with pytest.raises(ManifestError) as caught:
        load(path, FakePlugins())

    assert str(caught.value).startswith(f"{path}: {what}")


def test_a_path_that_is_none_is_refused() -> None:
    with pytest.raises(ManifestError, match="cannot be read: not a path"):
        load(Path("a\0b"), FakePlugins())


def test_a_file_of_exactly_1_mib_is_taken(tmp_path: Path) -> None:
    text = GOOD + "#" * (1024 * 1024 - len(GOOD))

    assert read(tmp_path, text).credentials


def test_twenty_levels_are_taken_as_far_as_the_yaml_goes(tmp_path: Path) -> None:
    said = refusals(tmp_path, GOOD + "x: " + "[" * 19 + "]" * 19 + "\n")

    assert said == ["credmgr.yaml:15:1: unknown key `x`"]


def test_the_plugins_are_those_installed_unless_given(tmp_path: Path) -> None:
    path = tmp_path / "credmgr.yaml"
    path.write_text("version: 1\nstate: {master_key: env:KEY}\nbackends: {a: {plugin: none}}\n")

    with pytest.raises(
        ManifestError, match="3:24: no plugin `none`; installed: aws, azure, local, vault"
    ):
        load(path)
