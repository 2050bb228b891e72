"""The policy that credmgr comes with: each part is needed, no more is allowed, doctor sees both."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from credmgr.backends.aws_secrets_manager import AssumeRole
from credmgr.errors import AccessDenied
from credmgr.model.names import Name
from credmgr.plugins.backend import Permission
from credmgr.testing.backend_moves import full, promoted, staged
from tests.integration.aws import ACCOUNT, ADMINISTRATOR, REGION, AwsServer, a_session, running
from tests.integration.aws_iam import KEY_ARN, PREFIX, Iam, shipped_policy, simulation, that_may_ask

if TYPE_CHECKING:
    from credmgr.backends.aws_secrets_manager.session import AwsBackend

PAGE: Final = Path(__file__).parents[2] / "docs/backends/aws.md"
NAME: Final = Name("team/api-key")
WHERE: Final = f"{PREFIX}{NAME}"
ACTIONS: Final = sorted(
    action for statement in shipped_policy()["Statement"] for action in statement["Action"]
)
CHANGES: Final = sorted(
    action
    for statement in shipped_policy()["Statement"]
    for action in statement["Action"]
    if action.startswith("secretsmanager:") and "Condition" in statement
)
Opened = Callable[..., "AwsBackend"]


@pytest.fixture(scope="module")
def server() -> Iterator[AwsServer]:
    with running() as started:
        yield started


@pytest.fixture
def aws(server: AwsServer) -> AwsServer:
    server.reset()
    server.iam = that_may_ask(shipped_policy())
    return server


@pytest.fixture
def opened(aws: AwsServer) -> Iterator[Opened]:
    sessions: list[AwsBackend] = []

    def open_session(**options: Any) -> "AwsBackend":
        defaults = {"prefix": PREFIX, "kms_key_id": KEY_ARN, "iam_endpoint_url": aws.url}
        sessions.append(a_session(aws, **{**defaults, **options}))
        return sessions[-1]

    yield open_session
    for each in sessions:
        each.close()


def without(action: str) -> Iam:
    policy = shipped_policy()
    for statement in policy["Statement"]:
        statement["Action"] = [each for each in statement["Action"] if each != action]
    return that_may_ask(policy)


def life(session: "AwsBackend") -> None:
    full(session, NAME)
    session.versions(NAME)
    session.delete(NAME)
    promoted(session, NAME, "anew")
    session.check()


# --- what the policy allows


def test_all_that_credmgr_does_is_allowed(opened: Opened) -> None:
    life(opened(replica_regions=("eu-west-1",)))


@pytest.mark.parametrize("action", ACTIONS)
def test_no_action_of_the_policy_can_be_left_out(
    aws: AwsServer, opened: Opened, action: str
) -> None:
    aws.iam = without(action)
    with pytest.raises(AccessDenied) as caught:
        life(opened(replica_regions=("eu-west-1",)))
    # who makes a secret with tags is told of what it made
    told = action.replace("TagResource", "CreateSecret")
    assert (KEY_ARN if action.startswith("kms:") else told) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("act", ["read", "stage", "check"])
def test_a_name_outside_the_prefix_is_refused(aws: AwsServer, opened: Opened, act: str) -> None:
    session = opened(prefix="elsewhere/")
    acts: dict[str, Callable[[], object]] = {
        "read": lambda: session.read(NAME),
        "stage": lambda: staged(session, NAME, "one"),
        "check": session.check,
    }
    with pytest.raises(AccessDenied, match=r"secretsmanager:[A-Za-z]+ is not allowed") as caught:
        acts[act]()
    assert "policies/backends/aws-iam.json" in (caught.value.hint or "")
    assert list(aws.secrets()) == []


def test_a_secret_that_loses_the_mark_is_not_changed(aws: AwsServer, opened: Opened) -> None:
    session = opened()
    one = promoted(session, NAME, "one")
    for operation, act in (
        ("PutSecretValue", lambda: staged(session, NAME, "two")),
        ("UpdateSecretVersionStage", lambda: session.delete(NAME)),
        ("DeleteSecret", lambda: session.delete(NAME)),
    ):
        tags = aws.secrets()[WHERE].tags
        aws.before[operation] = lambda: setattr(aws.secrets()[WHERE], "tags", [])
        with pytest.raises(AccessDenied, match="is not allowed") as caught:
            act()
        assert "policies/backends/aws-iam.json" in (caught.value.hint or "")
        assert not aws.secrets()[WHERE].is_deleted()
        aws.secrets()[WHERE].tags = tags
    assert str(one) in aws.secrets()[WHERE].versions


def test_a_secret_of_others_is_adopted_under_the_policy(aws: AwsServer, opened: Opened) -> None:
    opened(access_key_id=ADMINISTRATOR)._aws.create_secret(Name=WHERE, SecretString="theirs")
    session = opened(adopt=True)
    two = staged(session, NAME, "ours")
    session.promote(NAME, two, session.read(NAME).version)
    assert aws.native(WHERE) == "ours"
    aws.reset()
    opened(access_key_id=ADMINISTRATOR)._aws.create_secret(Name=WHERE, SecretString="theirs")
    aws.iam = without("secretsmanager:TagResource")
    with pytest.raises(AccessDenied, match="secretsmanager:TagResource is not allowed"):
        staged(session, NAME, "ours")


# --- what doctor says of it


def found(session: "AwsBackend") -> list[Permission]:
    return list(session.permissions([NAME, Name("team/other")]))


def lacking(found: list[Permission]) -> list[Permission]:
    return [one for one in found if one.needed and one.granted is False]


def beyond(found: list[Permission]) -> list[Permission]:
    return [one for one in found if not one.needed and one.granted]


def unknown(found: list[Permission]) -> list[Permission]:
    return [one for one in found if one.granted is None]


def test_the_policy_has_all_and_nothing_beyond(opened: Opened) -> None:
    said = found(opened(replica_regions=("eu-west-1",)))
    assert [one for one in said if not (one.needed and one.granted)] == []
    assert sorted(one.what.partition(" on ")[0] for one in said) == ACTIONS


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_that_is_missing_is_named(aws: AwsServer, opened: Opened, action: str) -> None:
    aws.iam = without(action)
    (one,) = lacking(found(opened(replica_regions=("eu-west-1",))))
    assert one.what.startswith(f"{action} on arn:aws:")
    assert f'add "{action}"' in one.fix
    assert ("unless the key's own policy" in one.fix) == action.startswith("kms:")


@pytest.mark.parametrize("key", [KEY_ARN.partition("/")[2], KEY_ARN])
def test_the_key_is_asked_for_by_its_arn(aws: AwsServer, opened: Opened, key: str) -> None:
    found(opened(kms_key_id=key))
    asked = [body for body in aws.bodies if body.get("ActionNames.member.1") == "kms:Decrypt"]
    assert [body["ResourceArns.member.1"] for body in asked] == [KEY_ARN]
    via = f"secretsmanager.{REGION}.amazonaws.com"
    assert via in asked[0].values()


def test_of_an_alias_nothing_is_known(opened: Opened) -> None:
    said = unknown(found(opened(kms_key_id="alias/ours")))
    assert [one.what for one in said] == [
        f"kms:{action} on alias/ours" for action in ("Decrypt", "GenerateDataKey")
    ]
    assert "an alias" in said[0].fix


def test_a_policy_without_the_mark_is_too_much(aws: AwsServer, opened: Opened) -> None:
    policy = shipped_policy()
    for statement in policy["Statement"]:
        if statement["Sid"] != "UseTheKeyThroughSecretsManagerOnly":
            statement.pop("Condition", None)
    aws.iam = that_may_ask(policy)
    said = found(opened())
    assert lacking(said) == []
    without_mark = [one for one in beyond(said) if "without the tag" in one.what]
    assert sorted(one.what.partition(" on ")[0] for one in without_mark) == CHANGES


def test_a_policy_for_everything_is_too_much(aws: AwsServer, opened: Opened) -> None:
    aws.iam = Iam({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    said = {one.what.partition(" on ")[0] for one in beyond(found(opened()))}
    assert said >= {"iam:PutRolePolicy", "secretsmanager:PutResourcePolicy", *CHANGES}


def identity(arn: str) -> tuple[int, str]:
    return 200, (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<GetCallerIdentityResult><Arn>{arn}</Arn><Account>{ACCOUNT}</Account>"
        "</GetCallerIdentityResult></GetCallerIdentityResponse>"
    )


def test_the_root_user_is_too_much(aws: AwsServer, opened: Opened) -> None:
    aws.raw["GetCallerIdentity"] = identity(f"arn:aws:iam::{ACCOUNT}:root")
    said = found(opened())
    assert [one.what for one in beyond(said)] == ["everything: it is the account's root user"]
    assert "SimulatePrincipalPolicy" not in aws.calls


def test_a_role_with_a_path_is_asked_for_as_it_is_configured(
    aws: AwsServer, opened: Opened
) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/team/credmgr"
    session = opened(assume_role=AssumeRole(role))
    aws.raw["GetCallerIdentity"] = identity(f"arn:aws:sts::{ACCOUNT}:assumed-role/credmgr/it")
    assert lacking(found(session)) == []
    asked = {body["PolicySourceArn"] for body in aws.bodies if "PolicySourceArn" in body}
    assert asked == {role}


def test_a_role_that_iam_does_not_find_is_unknown_with_the_reason(
    aws: AwsServer, opened: Opened
) -> None:
    aws.iam = None
    aws.raw["GetCallerIdentity"] = identity(f"arn:aws:sts::{ACCOUNT}:assumed-role/credmgr/it")
    document = "<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>"
    aws.raw["SimulatePrincipalPolicy"] = (404, document)
    said = unknown(found(opened()))
    assert {one.what for one in said} >= {
        "secretsmanager:PutSecretValue",
        "kms:Decrypt",
        "anything beyond policies/backends/aws-iam.json",
    }
    assert all("NoSuchEntity" in one.fix for one in said)
    assert all("path" in one.fix for one in said)


def decided(action: str, decision: str) -> str:
    return (
        f"<member><EvalActionName>{action}</EvalActionName>"
        f"<EvalDecision>{decision}</EvalDecision></member>"
    )


def test_an_answer_in_parts_is_read_to_its_end(aws: AwsServer, opened: Opened) -> None:
    session = opened(kms_key_id=None)
    more = "<IsTruncated>true</IsTruncated><Marker>here</Marker>"
    first = decided("secretsmanager:GetSecretValue", "allowed")
    rest = decided("secretsmanager:PutSecretValue", "implicitDeny")
    aws.raw["SimulatePrincipalPolicy"] = (200, simulation(first, more))

    def second() -> None:
        aws.raw["SimulatePrincipalPolicy"] = (200, simulation(rest))

    aws.before["SimulatePrincipalPolicy"] = lambda: aws.before.update(
        {"SimulatePrincipalPolicy": second}
    )
    said = found(session)
    markers = [body.get("Marker") for body in aws.bodies if "PolicySourceArn" in body]
    assert markers[:3] == [None, "here", None]
    assert ["PutSecretValue" in one.what for one in lacking(said)] == [True]


class Silent(Iam):
    """Answers without an action in them."""

    def simulated(self, asked: Mapping[str, str]) -> tuple[int, str]:
        assert asked["PolicySourceArn"]
        return 200, simulation("")


def test_an_action_without_an_answer_is_unknown(aws: AwsServer, opened: Opened) -> None:
    aws.iam = Silent(shipped_policy())
    said = found(opened())
    assert said == unknown(said)
    assert {one.what for one in said} >= {*ACTIONS} - {
        "secretsmanager:RemoveRegionsFromReplication",
        "secretsmanager:ReplicateSecretToRegions",
    }
    assert all("did not answer" in one.fix for one in said)


def test_the_statement_of_the_page_lets_doctor_ask(aws: AwsServer, opened: Opened) -> None:
    (block,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    statement = json.loads(block.replace("ACCOUNT", ACCOUNT))
    policy = shipped_policy()
    aws.iam = Iam(policy)
    role = AssumeRole(f"arn:aws:iam::{ACCOUNT}:role/credmgr")
    session = opened(assume_role=role, replica_regions=("eu-west-1",))
    said = unknown(found(session))
    assert "iam:SimulatePrincipalPolicy is not allowed" in said[0].fix
    policy["Statement"].append(statement)
    assert [one for one in found(session) if not (one.needed and one.granted)] == []
