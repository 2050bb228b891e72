"""Signing in to AWS: a key, a profile, a role, the default chain; TLS; what the policy allows."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from credmgr.backends.aws_secrets_manager import AssumeRole, AwsBackendFactory, AwsOptions
from credmgr.errors import AccessDenied, BackendUnavailable, ConfigError, SecretNotFound
from credmgr.model.names import Name
from credmgr.testing.backend_moves import full, promoted
from tests.integration.aws import (
    CHAIN,
    REGION,
    AwsServer,
    a_context,
    a_session,
    options_for,
    running,
    without_chain,
)

ROOT: Final = Path(__file__).parents[2]
NAME: Final = Name("caseforge/api-key")
ROLE: Final = "arn:aws:iam::123456789012:role/credmgr"


@pytest.fixture(scope="module")
def server() -> Iterator[AwsServer]:
    with running() as started:
        yield started


@pytest.fixture
def aws(server: AwsServer) -> AwsServer:
    server.reset()
    return server


@pytest.fixture(autouse=True)
def _no_chain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_chain(monkeypatch, tmp_path)


def test_a_role_is_assumed_once_for_all_threads(aws: AwsServer) -> None:
    role = AssumeRole(ROLE, external_id_from="env:EXTERNAL", duration=timedelta(hours=2))
    session = a_session(aws, assume_role=role)

    def read(_: int) -> None:
        with pytest.raises(SecretNotFound):
            session.read(NAME)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(16)))
    assert aws.calls.count("AssumeRole") == 1
    asked = aws.bodies[aws.calls.index("AssumeRole")]
    assert (asked["ExternalId"], asked["DurationSeconds"]) == ("an-external-id", "7200")
    session.close()


def test_a_role_with_an_external_id_in_clear(aws: AwsServer) -> None:
    session = a_session(aws, assume_role=AssumeRole(ROLE, external_id="told"))
    session.check()
    assert aws.bodies[aws.calls.index("AssumeRole")]["ExternalId"] == "told"
    session.close()


def test_a_role_that_is_refused_names_the_action(aws: AwsServer) -> None:
    session = a_session(aws, assume_role=AssumeRole(ROLE))
    document = (
        "<ErrorResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><Error>"
        "<Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
    )
    aws.raw["AssumeRole"] = (403, document)
    with pytest.raises(AccessDenied, match="sts:AssumeRole is not allowed"):
        session.read(NAME)
    session.close()


def test_a_profile_gives_key_and_region(aws: AwsServer, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"[profile ours]\nregion = {REGION}\n")
    (tmp_path / "credentials").write_text(
        "[ours]\naws_access_key_id = testing\naws_secret_access_key = testing\n"
    )
    session = a_session(aws, **CHAIN, profile="ours", region=None)
    promoted(session, NAME, "one")
    assert aws.native(NAME) == "one"
    session.close()


def test_the_default_chain_reads_the_environment(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://192.0.2.1")  # is not followed
    session = a_session(aws, **CHAIN)
    session.check()
    session.close()


def test_without_any_credentials_the_message_says_what_to_give(aws: AwsServer) -> None:
    session = a_session(aws, **CHAIN)
    with pytest.raises(AccessDenied, match="no usable AWS credentials") as caught:
        session.read(NAME)
    assert "profile" in (caught.value.hint or "")
    session.close()


def test_a_missing_profile_or_region_is_told_when_opening(aws: AwsServer) -> None:
    with pytest.raises(ConfigError, match="profile does not exist"):
        a_session(aws, **CHAIN, profile="nobody")
    with pytest.raises(ConfigError, match="no AWS region"):
        a_session(aws, region=None)


def test_without_an_address_of_sts_a_check_does_not_ask_who_it_is(aws: AwsServer) -> None:
    session = a_session(aws, sts_endpoint_url=None)
    session.check()
    assert aws.calls == ["DescribeSecret"]
    session.close()


def test_a_check_goes_on_where_sts_cannot_be_reached(aws: AwsServer) -> None:
    session = a_session(aws, sts_endpoint_url="http://127.0.0.1:1")
    session.check()
    assert aws.calls == ["DescribeSecret"]
    session.close()


def test_a_server_that_is_not_there_is_an_outage() -> None:
    nowhere = AwsServer(url="http://127.0.0.1:1")
    session = a_session(nowhere)
    with pytest.raises(BackendUnavailable, match="no connection"):
        session.read(NAME)
    session.close()


def test_a_certificate_is_trusted_by_the_bundle_only(aws: AwsServer, tmp_path: Path) -> None:
    from werkzeug.serving import make_ssl_devcert  # noqa: PLC0415

    assert aws.calls == []
    made = make_ssl_devcert(str(tmp_path / "server"), cn="localhost")
    with running(made) as secure:
        session = a_session(secure)
        with pytest.raises(BackendUnavailable, match="certificate is not trusted"):
            session.read(NAME)
        session.close()
        session = a_session(secure, ca_bundle=made[0])
        promoted(session, NAME, "one")
        assert session.read(NAME).secret.reveal() == "one"
        session.close()


def test_a_bundle_that_is_none_is_told_when_opening(aws: AwsServer) -> None:
    with pytest.raises(ConfigError, match="CA bundle"):
        a_session(aws, ca_bundle="missing.pem")


def test_fips_and_dualstack_choose_the_address() -> None:
    session = AwsBackendFactory().open(
        AwsOptions(region="us-east-1", fips=True, dualstack=True), a_context()
    )
    assert session._aws.meta.endpoint_url == "https://secretsmanager-fips.us-east-1.api.aws"
    session.close()


# --- the policy


def statements() -> list[dict[str, Any]]:
    policy = json.loads((ROOT / "policies/backends/aws-iam.json").read_text())
    assert policy["Version"] == "2012-10-17"
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def actions(service: str) -> list[str]:
    return sorted(
        action.partition(":")[2]
        for statement in statements()
        for action in statement["Action"]
        if action.startswith(f"{service}:")
    )


def test_the_policy_allows_every_call_that_is_made_and_none_more(aws: AwsServer) -> None:
    session = a_session(aws, replica_regions=("eu-west-1",))
    full(session, NAME)
    session.versions(NAME)
    session.check()
    session.delete(NAME)
    full(session, NAME)
    called = set(aws.calls) - {"GetCallerIdentity"}  # which needs no permission (STS reference)
    # CreateSecret with tags asks for TagResource as well (its page of the API reference)
    assert actions("secretsmanager") == sorted({*called, "TagResource"})
    session.close()


def test_the_policy_names_actions_that_exist_once(aws: AwsServer) -> None:
    session = a_session(aws)
    known = session._aws.meta.service_model.operation_names
    named = actions("secretsmanager")
    assert set(named) <= set(known)
    assert len(named) == len(set(named))
    session.close()


def test_the_policy_is_bound_to_places_and_to_the_mark() -> None:
    for statement in statements():
        assert statement["Effect"] == "Allow"
        assert statement["Resource"] != "*"
        assert re.fullmatch(
            r"arn:aws:(secretsmanager|kms):REGION:ACCOUNT:\S+", statement["Resource"]
        )
    changes = {action for it in statements() if "Condition" in it for action in it["Action"]}
    assert {f"secretsmanager:{action}" for action in actions("secretsmanager")} - changes == {
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "secretsmanager:ListSecretVersionIds",
    }


def test_the_options_of_the_tests_are_valid_ones(aws: AwsServer) -> None:
    assert list(AwsBackendFactory().validate(options_for(aws))) == []
