"""credmgr's own identity as a target."""

from pathlib import Path

import pytest

from tests.manifest_world import GOOD, read, refusals

CASES = [
    pytest.param(
        "file:master.key",
        "file:secrets/caseforge/api-key",
        [
            (
                "14:12: `local:caseforge/api-key` is where credmgr's own master key lies; give "
                "the copy another place"
            )
        ],
        id="our_master_key",
    ),
    pytest.param(
        "file:admin.token",
        "file:./elsewhere/../secrets/caseforge/api-key",
        [
            (
                "14:12: `local:caseforge/api-key` is where credmgr's own caseforge.admin_token "
                "lies; give the copy another place"
            )
        ],
        id="our_admin_token",
    ),
    pytest.param(
        "file:admin.token",
        "file:secrets/caseforge/api-key/admin.token",
        [
            (
                "14:12: `local:caseforge/api-key` is where credmgr's own caseforge.admin_token "
                "lies; give the copy another place"
            )
        ],
        id="below_the_place",
    ),
    pytest.param(
        "path: secrets",
        "path: keyring.json",
        [
            (
                "14:12: `local:caseforge/api-key` is where credmgr's own keyring lies; give "
                "the copy another place"
            )
        ],
        id="the_backend_is_our_file",
    ),
    pytest.param(
        "{master_key",
        "{database: 'sqlite:///secrets/caseforge/api-key', master_key",
        [
            (
                "14:12: `local:caseforge/api-key` is where credmgr's own state database lies; "
                "give the copy another place"
            )
        ],
        id="our_state_database",
    ),
    pytest.param(
        "{master_key",
        (
            "{database: 'postgresql://u@h/d', database_password: 'file:secrets/caseforge/"
            "api-key', master_key"
        ),
        [
            (
                "14:12: `local:caseforge/api-key` is where credmgr's own database password "
                "lies; give the copy another place"
            )
        ],
        id="our_database_password",
    ),
    pytest.param(
        "{master_key",
        "{checkpoint: secrets/caseforge/api-key, master_key",
        [
            (
                "14:12: `local:caseforge/api-key` is where credmgr's own audit checkpoint "
                "lies; give the copy another place"
            )
        ],
        id="our_audit_checkpoint",
    ),
    pytest.param(
        (
            "admin_token: file:admin.token}\ncredentials:\n  caseforge/api-key:\n    kind: "
            "api-key\n    issuer: caseforge\n    owner: payments-team\n    environment: "
            "development\n    store: local\n"
        ),
        (
            "admin_token: file:elsewhere/x/y}\ncredentials:\n  caseforge/api-key:\n    "
            "kind: api-key\n    issuer: caseforge\n    owner: payments-team\n    "
            "environment: development\n    store: local\n    targets: [{backend: other, "
            "name: x/y}]\n"
        ),
        [
            (
                "15:15: `other:x/y` is where credmgr's own caseforge.admin_token lies; give "
                "the copy another place"
            )
        ],
        id="at_a_target",
    ),
    pytest.param(
        "admin_token: file:admin.token}\ncredentials:\n",
        (
            "admin_token: file:admin.token, client_id: app_own}\ncredentials:\n  own: "
            "{kind: oauth-client, issuer: caseforge, client_id: app_own, owner: o, "
            "environment: test, store: local}\n"
        ),
        [
            (
                "9:59: credmgr itself signs in to `caseforge` with this client_id; give the "
                "credential a client of its own"
            )
        ],
        id="our_client",
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), CASES)
def test_our_own_identity_is_refused_at_its_place(
    tmp_path: Path, old: str, new: str, expected: list[str]
) -> None:
    text = GOOD.replace(old, new, 1)

    assert refusals(tmp_path, text) == [f"credmgr.yaml:{line}" for line in expected]


def test_a_file_of_ours_beside_the_copies_is_no_copy(tmp_path: Path) -> None:
    text = GOOD.replace("file:master.key", "file:secrets/master.key")

    assert read(tmp_path, text).state.master_key == "file:secrets/master.key"


def test_a_link_to_a_file_of_ours_is_seen_through(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "elsewhere").symlink_to("secrets")
    text = GOOD.replace("file:master.key", "file:elsewhere/caseforge/api-key")

    assert "credmgr's own master key" in refusals(tmp_path, text)[0]
