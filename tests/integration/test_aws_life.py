"""What the AWS backend leaves in AWS: labels, tags, deletion, replicas, and what others find."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import pytest

from credmgr.backends.aws_secrets_manager import ValueForm
from credmgr.backends.aws_secrets_manager.calls import Refused
from credmgr.backends.aws_secrets_manager.labels import PLACEHOLDER, PLACEHOLDER_TEXT
from credmgr.errors import (
    BackendUnavailable,
    Conflict,
    CorruptSecret,
    LimitExceeded,
    NotOurs,
    SecretNotFound,
)
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.testing.backend_moves import everything, full, promoted, staged, stages
from credmgr.testing.canaries import everything_in, leaks, new_canary
from tests.integration.aws import AwsServer, a_session, running
from tests.integration.aws_strict import refused

if TYPE_CHECKING:
    from credmgr.backends.aws_secrets_manager.session import AwsBackend

NAME: Final = Name("caseforge/client-secret")


@pytest.fixture(scope="module")
def server() -> Iterator[AwsServer]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def shared(server: AwsServer) -> Iterator["AwsBackend"]:
    session = a_session(server)
    yield session
    session.close()


@pytest.fixture(params=[True, False], ids=["strict", "lax"])
def aws(server: AwsServer, request: pytest.FixtureRequest) -> AwsServer:
    server.reset()
    server.strict = request.param
    return server


@pytest.fixture
def backend(aws: AwsServer, shared: "AwsBackend") -> "AwsBackend":
    assert aws.calls == []
    return shared


# --- what native readers find


def test_a_native_reader_never_finds_what_is_only_staged(
    aws: AwsServer, backend: "AwsBackend"
) -> None:
    one = staged(backend, NAME, "one")
    assert aws.native(NAME) == PLACEHOLDER_TEXT
    assert aws.native(NAME, "AWSPENDING") == "one"
    backend.promote(NAME, one, None)
    staged(backend, NAME, "two")
    assert aws.native(NAME) == "one"


def test_the_labels_are_those_of_a_rotation_by_aws(aws: AwsServer, backend: "AwsBackend") -> None:
    one = promoted(backend, NAME, "one")
    assert aws.labels(NAME) == {str(one): {"AWSCURRENT"}, str(PLACEHOLDER): {"AWSPREVIOUS"}}
    two = promoted(backend, NAME, "two", expect=one)
    three = staged(backend, NAME, "three")
    assert aws.labels(NAME) == {
        str(one): {"AWSPREVIOUS"},
        str(two): {"AWSCURRENT"},
        str(three): {"AWSPENDING"},
    }


def test_the_placeholder_is_no_version(aws: AwsServer, backend: "AwsBackend") -> None:
    promoted(backend, NAME, "one")
    assert len(backend.versions(NAME)) == 1
    with pytest.raises(SecretNotFound):
        backend.read(NAME, Stage.PREVIOUS)
    before = aws.labels(NAME)
    backend.discard(NAME, PLACEHOLDER)
    assert aws.labels(NAME) == before


def test_an_empty_secret_with_our_mark_is_filled(aws: AwsServer, backend: "AwsBackend") -> None:
    backend._aws.create_secret(Name=NAME, Tags=[{"Key": "credmgr:managed-by", "Value": "credmgr"}])
    one = staged(backend, NAME, "one")
    assert (aws.native(NAME), stages(backend, NAME)) == (PLACEHOLDER_TEXT, {Stage.NEXT: one})


def test_a_discarded_version_is_staged_again_when_asked(backend: "AwsBackend") -> None:
    full(backend, NAME)
    version = backend.read(NAME, Stage.NEXT).version
    backend.discard(NAME, version)
    backend.stage(NAME, Secret("third"), version)
    assert everything(backend, NAME)[Stage.NEXT] == (version, "third")


def test_a_version_that_others_wrote_is_current_and_can_be_replaced(
    aws: AwsServer, backend: "AwsBackend"
) -> None:
    promoted(backend, NAME, "one")
    token = "no-uuid-but-thirty-two-characters-long"  # noqa: S105 (a request token)
    backend._aws.put_secret_value(SecretId=NAME, SecretString="theirs", ClientRequestToken=token)
    held = backend.read(NAME)
    assert held.secret.reveal() == "theirs"
    two = promoted(backend, NAME, "two", expect=held.version)
    assert stages(backend, NAME) == {Stage.CURRENT: two, Stage.PREVIOUS: held.version}
    backend.promote(NAME, held.version, two)
    assert aws.native(NAME) == "theirs"


def test_a_binary_value_of_others_is_told(backend: "AwsBackend") -> None:
    promoted(backend, NAME, "one")
    backend._aws.put_secret_value(SecretId=NAME, SecretBinary=b"theirs")
    with pytest.raises(CorruptSecret):
        backend.read(NAME)


def test_tags_and_prefix_and_form_are_as_configured(aws: AwsServer) -> None:
    session = a_session(
        aws, prefix="team@x/", tags={"cost": "42"}, value=ValueForm.JSON, json_key="password"
    )
    promoted(session, NAME, 'pass"wörd')
    assert aws.native(f"team@x/{NAME}") == '{"password": "pass\\"wörd"}'
    assert session.read(NAME).secret.reveal() == 'pass"wörd'
    tags = {tag["Key"]: tag["Value"] for tag in aws.secrets()[f"team@x/{NAME}"].tags}
    assert tags == {"cost": "42", "credmgr:managed-by": "credmgr"}
    session.close()


def test_a_template_is_what_an_existing_consumer_expects(aws: AwsServer) -> None:
    template = '{"username": "app_8v3k9m", "password": {{ secret | json }}}'
    session = a_session(aws, value=ValueForm.TEMPLATE, template=template)
    promoted(session, NAME, 'pass"wörd')
    assert aws.native(NAME) == '{"username": "app_8v3k9m", "password": "pass\\"wörd"}'
    assert session.read(NAME).secret.reveal() == 'pass"wörd'
    session._aws.put_secret_value(SecretId=NAME, SecretString="theirs")
    with pytest.raises(CorruptSecret):
        session.read(NAME)
    session.close()


def test_a_secret_of_others_is_taken_over_when_told(aws: AwsServer) -> None:
    session = a_session(aws, adopt=True)
    session._aws.create_secret(Name=NAME, SecretString="theirs")
    theirs = session.read(NAME)
    assert theirs.secret.reveal() == "theirs"
    with pytest.raises(NotOurs):
        session.delete(NAME)
    two = staged(session, NAME, "ours")
    assert aws.native(NAME) == "theirs"
    session.promote(NAME, two, theirs.version)
    assert stages(session, NAME) == {Stage.CURRENT: two, Stage.PREVIOUS: theirs.version}
    tags = {tag["Key"]: tag["Value"] for tag in aws.secrets()[NAME].tags}
    assert tags["credmgr:managed-by"] == "credmgr"
    session.close()


def test_a_deleted_secret_of_others_is_not_taken_over(aws: AwsServer) -> None:
    session = a_session(aws, adopt=True)
    session._aws.create_secret(Name=NAME, SecretString="theirs")
    session._aws.delete_secret(SecretId=NAME, RecoveryWindowInDays=7)
    with pytest.raises(NotOurs):
        staged(session, NAME, "ours")
    session.close()


def test_the_mark_of_another_value_is_somebody_elses(aws: AwsServer, backend: "AwsBackend") -> None:
    backend._aws.create_secret(
        Name=NAME, SecretString="theirs", Tags=[{"Key": "credmgr:managed-by", "Value": "them"}]
    )
    for call in (backend.read, backend.versions, backend.delete, lambda _: staged(backend, _, "x")):
        with pytest.raises(NotOurs, match="has no tag credmgr:managed-by=credmgr"):
            call(NAME)
    assert aws.native(NAME) == "theirs"


def test_a_secret_with_many_labels_of_others_is_adopted_while_there_is_room(
    aws: AwsServer,
) -> None:
    session = a_session(aws, adopt=True)
    session._aws.create_secret(Name=NAME, SecretString="theirs")
    held = session._aws.get_secret_value(SecretId=NAME)["VersionId"]

    def label(*numbers: int) -> None:
        for number in numbers:
            session._aws.update_secret_version_stage(
                SecretId=NAME, VersionStage=f"theirs-{number}", MoveToVersionId=held
            )

    label(*range(19))
    with pytest.raises(LimitExceeded, match="19 labels of others"):
        staged(session, NAME, "ours")
    assert aws.secrets()[NAME].tags in (None, [])
    session._aws.update_secret_version_stage(
        SecretId=NAME, VersionStage="theirs-0", RemoveFromVersionId=held
    )
    for number in (1, 2):
        session._aws.update_secret_version_stage(
            SecretId=NAME, VersionStage=f"theirs-{number}", RemoveFromVersionId=held
        )
    one = promoted(session, NAME, "one", expect=session.read(NAME).version)
    two = promoted(session, NAME, "two", expect=one)
    three = staged(session, NAME, "three")
    assert stages(session, NAME) == {Stage.PREVIOUS: one, Stage.CURRENT: two, Stage.NEXT: three}
    assert len(set().union(*aws.labels(NAME).values())) == 19
    session.delete(NAME)
    assert aws.secrets()[NAME].is_deleted()
    session.close()


def test_a_quota_of_labels_is_told_as_such(aws: AwsServer, backend: "AwsBackend") -> None:
    one = promoted(backend, NAME, "one")
    aws.strict = True
    for number in range(18):
        backend._aws.update_secret_version_stage(
            SecretId=NAME, VersionStage=f"theirs-{number}", MoveToVersionId=str(one)
        )
    with pytest.raises(LimitExceeded, match="20 labels"):
        staged(backend, NAME, "two")


def test_a_resource_policy_is_left_as_it_is(aws: AwsServer) -> None:
    session = a_session(aws, adopt=True)
    session._aws.create_secret(Name=NAME, SecretString="theirs")
    statement = {"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:DeleteSecret"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Resource": "*"}]})
    session._aws.put_resource_policy(SecretId=NAME, ResourcePolicy=policy)

    def unchanged() -> bool:
        return bool(aws.secrets()[NAME].policy == policy)

    aws.calls.clear()
    theirs = session.read(NAME).version
    one = promoted(session, NAME, "adopted", expect=theirs)
    assert unchanged()
    two = promoted(session, NAME, "rotated", expect=one)
    session.promote(NAME, one, two)
    session.discard(NAME, two)
    assert unchanged()
    session.delete(NAME)
    assert unchanged()
    promoted(session, NAME, "restored")
    assert unchanged()
    assert [call for call in aws.calls if call.endswith("ResourcePolicy")] == []
    assert {"TagResource", "DeleteSecret", "RestoreSecret"} <= set(aws.calls)
    session.close()


def test_a_key_of_kms_is_asked_for(aws: AwsServer) -> None:
    session = a_session(aws, kms_key_id="alias/ours")
    staged(session, NAME, "one")
    assert aws.secrets()[NAME].kms_key_id == "alias/ours"
    session.close()


def test_a_name_too_long_with_its_prefix_is_refused_before_any_call(aws: AwsServer) -> None:
    session = a_session(aws, prefix="p" * 510)
    with pytest.raises(LimitExceeded):
        session.read(NAME)
    assert aws.calls == []
    session.close()


def test_versions_come_in_pages(aws: AwsServer, backend: "AwsBackend") -> None:
    full(backend, NAME)
    whole = list(backend.versions(NAME))
    aws.page = 1
    aws.calls.clear()
    assert list(backend.versions(NAME)) == whole
    assert aws.calls.count("ListSecretVersionIds") == 3


# --- deletion


def test_a_deleted_secret_is_not_there_for_anybody(aws: AwsServer, backend: "AwsBackend") -> None:
    full(backend, NAME)
    version = backend.read(NAME).version
    backend.delete(NAME)
    assert aws.secrets()[NAME].is_deleted()
    with pytest.raises(SecretNotFound):
        backend.read(NAME)
    with pytest.raises(SecretNotFound):
        backend.promote(NAME, version, None)
    backend.discard(NAME, version)
    assert list(backend.versions(NAME)) == []


def test_a_name_pending_deletion_is_restored_and_begins_anew(
    aws: AwsServer, backend: "AwsBackend"
) -> None:
    full(backend, NAME)
    arn = aws.secrets()[NAME].arn
    backend.delete(NAME)
    version = staged(backend, NAME, "anew")
    assert aws.secrets()[NAME].arn == arn
    assert aws.native(NAME) == PLACEHOLDER_TEXT
    assert stages(backend, NAME) == {Stage.NEXT: version}
    backend.promote(NAME, version, None)
    assert stages(backend, NAME) == {Stage.CURRENT: version}


def test_a_deletion_by_hand_is_undone_with_all_that_was_there(
    aws: AwsServer, backend: "AwsBackend"
) -> None:
    full(backend, NAME)
    current = backend.read(NAME).version
    backend._aws.delete_secret(SecretId=NAME)
    three = staged(backend, NAME, "three")
    assert backend.read(NAME).version == current
    backend.promote(NAME, three, current)
    assert aws.native(NAME) == "three"


def test_our_deletion_is_undone_by_giving_the_label_back(
    aws: AwsServer, backend: "AwsBackend"
) -> None:
    one = promoted(backend, NAME, "one")
    backend.delete(NAME)
    backend._aws.restore_secret(SecretId=NAME)
    backend._aws.update_secret_version_stage(
        SecretId=NAME,
        VersionStage="AWSCURRENT",
        RemoveFromVersionId=str(PLACEHOLDER),
        MoveToVersionId=str(one),
    )
    assert (aws.native(NAME), backend.read(NAME).version) == ("one", one)


def test_the_placeholder_comes_back_when_aws_has_pruned_it(
    aws: AwsServer, backend: "AwsBackend"
) -> None:
    full(backend, NAME)
    del aws.secrets()[NAME].versions[str(PLACEHOLDER)]
    backend.delete(NAME)
    staged(backend, NAME, "anew")
    assert aws.native(NAME) == PLACEHOLDER_TEXT


def test_a_deleted_secret_of_others_is_not_restored(aws: AwsServer, backend: "AwsBackend") -> None:
    backend._aws.create_secret(Name=NAME, SecretString="theirs")
    backend._aws.delete_secret(SecretId=NAME)
    for call in (lambda: staged(backend, NAME, "ours"), lambda: backend.read(NAME)):
        with pytest.raises(NotOurs):
            call()
    assert aws.secrets()[NAME].is_deleted()


def test_a_secret_made_anew_by_others_is_not_taken_for_ours(backend: "AwsBackend") -> None:
    promoted(backend, NAME, "one")
    backend.read(NAME)
    backend._aws.delete_secret(SecretId=NAME, ForceDeleteWithoutRecovery=True)
    backend._aws.create_secret(
        Name=NAME, SecretString="theirs", Tags=[{"Key": "other", "Value": "x"}]
    )
    with pytest.raises(NotOurs):
        backend.read(NAME)


def test_replicas_are_made_and_go_before_their_secret(aws: AwsServer) -> None:
    session = a_session(aws, replica_regions=("eu-west-1", "us-east-1"))
    promoted(session, NAME, "one")
    assert {each.region for each in aws.secrets()[NAME].replicas} == {"eu-west-1", "us-east-1"}
    assert aws.calls.count("ReplicateSecretToRegions") == 1
    session.delete(NAME)
    assert aws.secrets()[NAME].replicas == []
    session.close()


def test_a_replica_is_encrypted_with_the_key_of_its_region(aws: AwsServer) -> None:
    session = a_session(
        aws,
        kms_key_id="alias/ours",
        replica_regions=("eu-west-1", "us-east-1"),
        replica_kms_key_ids={"eu-west-1": "alias/there"},
    )
    staged(session, NAME, "one")
    asked = aws.bodies[aws.calls.index("ReplicateSecretToRegions")]
    assert asked["AddReplicaRegions"] == [
        {"Region": "eu-west-1", "KmsKeyId": "alias/there"},
        {"Region": "us-east-1"},
    ]
    session.close()


# --- races


def after(aws: AwsServer, operation: str, change: Callable[[], object]) -> None:
    """Let somebody else change something right before our next call of `operation`."""
    aws.before[operation] = change


def move(label: str, source: UUID, target: UUID) -> Callable[[], object]:
    from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415

    moto = secretsmanager_backends["123456789012"]["eu-central-1"]
    return lambda: moto.update_secret_version_stage(NAME, label, str(source), str(target))


def test_a_promotion_that_loses_is_a_conflict(aws: AwsServer, backend: "AwsBackend") -> None:
    full(backend, NAME)
    current, three = (backend.read(NAME, stage).version for stage in (Stage.CURRENT, Stage.NEXT))
    previous = backend.read(NAME, Stage.PREVIOUS).version
    after(aws, "UpdateSecretVersionStage", move("AWSCURRENT", current, previous))
    with pytest.raises(Conflict):
        backend.promote(NAME, three, current)
    assert backend.read(NAME).version == previous


def test_a_promotion_that_somebody_else_finishes_is_done(
    aws: AwsServer, backend: "AwsBackend"
) -> None:
    full(backend, NAME)
    current, three = (backend.read(NAME, stage).version for stage in (Stage.CURRENT, Stage.NEXT))
    after(aws, "UpdateSecretVersionStage", move("AWSCURRENT", current, three))
    backend.promote(NAME, three, current)
    assert stages(backend, NAME) == {Stage.CURRENT: three, Stage.PREVIOUS: current}


def test_a_secret_that_somebody_else_makes_first_is_used_if_ours(
    aws: AwsServer, backend: "AwsBackend"
) -> None:
    other = a_session(aws)
    aws.answers["CreateSecret"] = refused("ResourceExistsException")
    with pytest.raises(BackendUnavailable):  # said to be there, and not seen
        staged(backend, NAME, "one")
    first = staged(other, NAME, "one")
    second = staged(backend, NAME, "two")
    assert first != second
    assert stages(backend, NAME) == {Stage.NEXT: second}
    other.close()


def test_aws_has_the_last_word_on_another_value(aws: AwsServer, backend: "AwsBackend") -> None:
    promoted(backend, NAME, "one")
    aws.answers["PutSecretValue"] = refused("ResourceExistsException")
    with pytest.raises(Conflict):
        staged(backend, NAME, "two")


def test_a_refusal_that_no_race_explains_is_passed_on(
    aws: AwsServer, backend: "AwsBackend"
) -> None:
    one = promoted(backend, NAME, "one")
    two = staged(backend, NAME, "two")
    aws.answers["UpdateSecretVersionStage"] = refused("InvalidRequestException")
    with pytest.raises(Exception, match="refused with InvalidRequestException"):
        backend.promote(NAME, two, one)
    aws.answers["GetSecretValue"] = refused("InvalidRequestException")
    with pytest.raises(Exception, match="refused with InvalidRequestException"):
        backend.read(NAME)


@pytest.mark.parametrize("act", ["discard", "promote", "delete"])
def test_a_label_that_stays_is_told(aws: AwsServer, backend: "AwsBackend", act: str) -> None:
    one = promoted(backend, NAME, "one")
    two = staged(backend, NAME, "two")
    if act == "promote":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backend, "_unstage", lambda *_: None)
            backend.promote(NAME, two, one)
        assert aws.labels(NAME)[str(two)] == {"AWSCURRENT", "AWSPENDING"}

    def refuse() -> None:
        aws.answers["UpdateSecretVersionStage"] = refused("InvalidRequestException")

    calls: dict[str, Callable[[], None]] = {
        "discard": lambda: backend.discard(NAME, two),
        "promote": lambda: backend.promote(NAME, two, one),
        "delete": lambda: backend._clear(NAME),
    }
    refuse()
    with pytest.raises(Refused, match="refused with InvalidRequestException"):
        calls[act]()
    calls[act]()
    assert "AWSPENDING" not in set().union(*aws.labels(NAME).values())


def test_a_label_that_somebody_else_takes_off_is_off(aws: AwsServer, backend: "AwsBackend") -> None:
    promoted(backend, NAME, "one")
    two = staged(backend, NAME, "two")
    after(aws, "UpdateSecretVersionStage", move("AWSPENDING", two, PLACEHOLDER))
    backend.discard(NAME, two)
    assert str(two) not in aws.labels(NAME)


# --- secrecy


def test_a_quoted_value_in_an_answer_of_aws_goes_nowhere(
    aws: AwsServer, backend: "AwsBackend", caplog: pytest.LogCaptureFixture
) -> None:
    canary = new_canary()
    staged(backend, NAME, "one")
    aws.answers["PutSecretValue"] = refused("InvalidParameterException", canary)
    with caplog.at_level(logging.DEBUG), pytest.raises(Exception, match="refused") as caught:
        backend.stage(NAME, Secret(canary), uuid4())
    assert not leaks(canary, everything_in(caught.value) + caplog.text)


def test_botocore_at_debug_says_nothing_of_ours_and_all_of_others(
    backend: "AwsBackend", caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = new_canary(), new_canary()
    for talker in ("botocore", "botocore.endpoint", "botocore.parsers", "botocore.hooks"):
        caplog.set_level(logging.DEBUG, talker)
    with caplog.at_level(logging.DEBUG):
        promoted(backend, NAME, ours)
        backend.read(NAME)
        assert not leaks(ours, caplog.text + "".join(repr(vars(r)) for r in caplog.records))
        backend._aws.create_secret(Name="theirs", SecretString=theirs)
    assert leaks(theirs, caplog.text)  # so the search above could have found something


# --- check


def test_a_check_says_who_is_asked_and_what_is_missing(
    aws: AwsServer, backend: "AwsBackend"
) -> None:
    backend.check()
    assert aws.calls == ["GetCallerIdentity", "DescribeSecret"]
    aws.answers["DescribeSecret"] = refused("AccessDeniedException")
    with pytest.raises(Exception, match="IAM action secretsmanager:DescribeSecret is not allowed"):
        backend.check()
