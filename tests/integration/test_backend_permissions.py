"""What doctor learns of its permissions from an OpenBao, an AWS and a Key Vault."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from credmgr.backends.vault import VaultBackendFactory
from credmgr.backends.vault.options import TokenSignIn, VaultOptions
from credmgr.errors import BackendUnavailable
from credmgr.model.names import Name
from credmgr.plugins.backend import Permission, Permissions, Timed
from credmgr.testing.key_vault import FakeKeyVault, Fault, Harm
from credmgr.testing.key_vault.actions import action_of
from tests.integration.aws import ACCOUNT, REGION, AwsServer, a_session, running
from tests.integration.aws_iam import shipped_policy, that_may_ask
from tests.integration.aws_strict import refused
from tests.integration.key_vaults import granted, opened
from tests.integration.openbao import POLICY, ROOT, Bao, approle_options, context_of, dev_server

NAMES = [Name("team/a"), Name("team/b")]
ASKING = 'path "sys/capabilities-self" { capabilities = ["update"] }'


def lacking(found: list[Permission]) -> list[Permission]:
    return [one for one in found if one.needed and one.granted is False]


def beyond(found: list[Permission]) -> list[Permission]:
    return [one for one in found if not one.needed and one.granted]


def unknown(found: list[Permission]) -> list[str]:
    return [one.what for one in found if one.granted is None]


# --- OpenBao


@pytest.fixture(scope="module")
def bao() -> Iterator[Bao]:
    with dev_server() as server:
        yield server


def asked(bao: Bao, home: Path, policy: str) -> list[Permission]:
    name = f"own-{uuid4().hex[:8]}"
    bao.policy(name, policy)
    role_id, secret_id = bao.role(name)
    session = VaultBackendFactory().open(
        approle_options(bao, role_id), context_of(home, secret_id=secret_id)
    )
    backend: object = session
    assert isinstance(backend, Permissions)
    assert isinstance(backend, Timed)
    found = list(backend.permissions(NAMES))
    ahead = backend.ahead
    assert ahead is not None
    assert abs(ahead.total_seconds()) < 30
    session.close()
    return found


def test_the_policy_that_may_ask_has_all_and_nothing_beyond(bao: Bao, tmp_path: Path) -> None:
    found = asked(bao, tmp_path, POLICY.read_text() + ASKING)

    assert [one for one in found if not (one.needed and one.granted)] == []
    assert len(found) == 6


@pytest.mark.parametrize(
    ("present", "absent", "fix"),
    [
        (
            '["create", "read", "update"]',
            '["create", "read"]',
            'add to its policy: path "secret/data/credmgr/*" { capabilities = ["update"] }',
        ),
        (
            "secret/destroy",
            "secret/nothing",
            'add to its policy: path "secret/destroy/credmgr/*" { capabilities = ["update"] }',
        ),
    ],
)
def test_one_missing_permission_is_named_with_the_line_to_add(
    bao: Bao, tmp_path: Path, present: str, absent: str, fix: str
) -> None:
    found = asked(bao, tmp_path, POLICY.read_text().replace(present, absent) + ASKING)

    assert [one.fix for one in lacking(found)] == [f"{fix}, as in vault.hcl"]
    assert "and 4 more" in lacking(found)[0].what, "the probe, two names, and their siblings"


def test_a_permission_that_one_name_lacks_is_found(bao: Bao, tmp_path: Path) -> None:
    own = 'path "secret/data/credmgr/team/b" { capabilities = ["deny"] }'

    found = asked(bao, tmp_path, POLICY.read_text() + ASKING + own)

    assert {one.what for one in lacking(found)} == {
        f'`{one}` on "secret/data/credmgr/team/b"' for one in ("create", "read", "update")
    }


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ('path "secret/*" { capabilities = ["read"] }', '`read` on "secret/data/not-of-credmgr'),
        ('path "+/data/*" { capabilities = ["update"] }', '`update` on "secret/data/not-of'),
        ('path "sys/*" { capabilities = ["update", "sudo"] }', "`sudo`, `update` on"),
        ('path "auth/token/create" { capabilities = ["update"] }', '"auth/token/create"'),
    ],
)
def test_what_is_too_much_is_reported(bao: Bao, tmp_path: Path, more: str, what: str) -> None:
    found = asked(bao, tmp_path, POLICY.read_text() + ASKING + more)

    assert lacking(found) == []
    assert any(what in one.what for one in beyond(found)), beyond(found)


def test_a_root_token_is_too_much(bao: Bao, tmp_path: Path) -> None:
    options = VaultOptions(bao.address, token=TokenSignIn("env:token"))
    backend: Any = VaultBackendFactory().open(options, context_of(tmp_path, token=ROOT))

    found = list(backend.permissions(NAMES))

    assert [one.what for one in beyond(found)] == ["everything: it is a root token"]
    backend.close()


def test_where_it_may_not_ask_it_tries_and_says_what_it_does_not_know(
    bao: Bao, tmp_path: Path
) -> None:
    found = asked(bao, tmp_path, POLICY.read_text())
    assert lacking(found) == []
    assert unknown(found) == ["anything beyond policies/backends/vault.hcl"]

    found = asked(bao, tmp_path, POLICY.read_text().replace("secret/destroy", "secret/nothing"))
    assert [one.fix for one in lacking(found)] == [
        'the policy must grant `update` on "secret/destroy/credmgr/.check"'
    ]


# --- AWS


@pytest.fixture(scope="module")
def server() -> Iterator[AwsServer]:
    with running() as running_server:
        yield running_server


@pytest.fixture
def aws(server: AwsServer) -> AwsServer:
    server.reset()
    return server


def test_iam_is_asked_for_each_name_and_for_what_is_beyond(aws: AwsServer) -> None:
    session = a_session(aws, iam_endpoint_url=aws.url, prefix="prod/")
    place = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"
    rules = [
        ("Allow", "iam:PutUserPolicy", "*"),
        ("Allow", "secretsmanager:GetSecretValue", "*"),
        ("Deny", "secretsmanager:GetSecretValue", f"{place}prod/team/b*"),
        ("Deny", "secretsmanager:PutSecretValue", f"{place}prod/team/a*"),
    ]
    policy = shipped_policy()
    policy["Statement"] += [
        {"Effect": effect, "Action": action, "Resource": resource}
        for effect, action, resource in rules
    ]
    aws.iam = that_may_ask(policy)

    found = list(session.permissions(NAMES))

    assert [one.what for one in lacking(found)] == [
        f"secretsmanager:GetSecretValue on {place}prod/team/b-AbCdEf",
        f"secretsmanager:PutSecretValue on {place}prod/team/a-AbCdEf",
    ]
    assert 'add "secretsmanager:GetSecretValue" to its policy' in lacking(found)[0].fix
    assert [one.what.partition(" on ")[0] for one in beyond(found)] == [
        "secretsmanager:GetSecretValue",
        "iam:PutUserPolicy",
    ]
    assert unknown(found) == []
    assert session.ahead is not None
    session.close()


def test_of_a_role_session_the_role_is_asked_about(aws: AwsServer) -> None:
    session = a_session(aws, iam_endpoint_url=aws.url)
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/credmgr/session"
    answer = (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<GetCallerIdentityResult><Arn>{arn}</Arn><Account>{ACCOUNT}</Account>"
        "</GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
    aws.raw["GetCallerIdentity"] = (200, answer)
    aws.iam = that_may_ask(shipped_policy())

    session.permissions([])

    asked_of = [body["PolicySourceArn"] for body in aws.bodies if "PolicySourceArn" in body]
    assert asked_of[0] == f"arn:aws:iam::{ACCOUNT}:role/credmgr"
    session.close()


@pytest.mark.parametrize("iam", [True, False], ids=["refused", "without an address"])
def test_without_iam_harmless_calls_show_what_they_can(aws: AwsServer, *, iam: bool) -> None:
    session = a_session(aws, iam_endpoint_url=aws.url if iam else None)
    aws.raw["SimulatePrincipalPolicy"] = (
        403,
        "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>",
    )
    aws.answers["ListSecretVersionIds"] = refused("AccessDeniedException")

    found = list(session.permissions(NAMES))

    assert ["ListSecretVersionIds" in one.what for one in lacking(found)] == [True]
    granted = [one.what for one in found if one.granted]
    assert granted == ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
    assert "secretsmanager:PutSecretValue" in unknown(found)
    writes = {"CreateSecret", "PutSecretValue", "DeleteSecret", "UpdateSecretVersionStage"}
    assert not writes & set(aws.calls)
    session.close()


# --- Azure


SECRETS = "Microsoft.KeyVault/vaults/secrets/"


def asked_of(vault: FakeKeyVault, names: list[Name] = NAMES) -> list[Permission]:
    """What a session learns; that it changed nothing."""
    session: Any = opened(vault)
    found = list(session.permissions(names))
    assert session.ahead is not None
    session.close()
    assert vault.content.objects(deleted=False) == vault.content.objects(deleted=True) == []
    return found


def test_the_role_that_we_ship_has_all_and_nothing_beyond() -> None:
    with FakeKeyVault(permits=granted()) as vault:
        found = asked_of(vault)
        refused = {action_of(*call) for call in vault.refused}
    assert {one.what for one in found if one.needed and one.granted} == granted()
    assert lacking(found) == beyond(found) == []
    assert unknown(found) == [f"anything beyond {SECRETS}"]
    assert refused == {f"{SECRETS}{one}/action" for one in ("backup", "purge", "restore")}


@pytest.mark.parametrize("action", sorted(granted()))
def test_one_missing_data_action_is_named(action: str) -> None:
    with FakeKeyVault(permits=granted() - {action}) as vault:
        (missing,) = lacking(asked_of(vault))
    assert missing.what.startswith(f"{action} (Key Vault ")
    assert "azure-role.json" in missing.fix


def test_data_actions_that_are_too_much_are_named() -> None:
    with FakeKeyVault() as vault:
        found = asked_of(vault)
    assert [one.what for one in beyond(found)] == [
        f"{SECRETS}{one}/action" for one in ("purge", "backup", "restore")
    ]
    assert "azure-role.json" in beyond(found)[0].fix


def test_permissions_are_tried_on_no_name_that_anybody_could_have() -> None:
    tried: list[set[str]] = []
    for _ in range(2):
        with FakeKeyVault() as vault:
            asked_of(vault, [])
            writes = [path for method, path in vault.calls if method != "GET"]
            tried.append({path.split("/")[2] for path in writes} - {"restore"})
    assert len(tried[0]) == 6
    assert not tried[0] & tried[1]


def test_a_vault_that_fails_meanwhile_is_no_vault_that_permits() -> None:
    with FakeKeyVault(permits=granted()) as vault:
        vault.faults.add(Fault(Harm.ANSWER, "PUT", status=503))
        session: Any = opened(vault)
        with pytest.raises(BackendUnavailable):
            session.permissions(NAMES)
        session.close()
