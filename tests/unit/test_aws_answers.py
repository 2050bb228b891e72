"""AWS's errors, values, labels and pace, without a server."""

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from botocore import exceptions
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    EmptyPoolError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from credmgr.backends.aws_secrets_manager import AwsOptions, ValueForm
from credmgr.backends.aws_secrets_manager.calls import Calls, Refused, local_problem
from credmgr.backends.aws_secrets_manager.labels import PLACEHOLDER, Shelf, version_of
from credmgr.backends.aws_secrets_manager.pace import SUSTAINED, WINDOW, Pace
from credmgr.backends.aws_secrets_manager.signin import sign_in
from credmgr.backends.aws_secrets_manager.values import Wrapping
from credmgr.backends.aws_secrets_manager.wire import Wire, _is_of_aws, _Read, _reason
from credmgr.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    ConfigError,
    Conflict,
    CorruptSecret,
    CredmgrError,
    LimitExceeded,
    SecretNotFound,
)
from credmgr.model.secret import Secret
from credmgr.plugins.clocks import ServerClock
from credmgr.testing.canaries import everything_in, leaks, new_canary
from credmgr.testing.clock import FakeClock
from tests.integration.aws import a_context

_POOL = HTTPConnectionPool("localhost")
_CONNECTION = HTTPConnection("localhost")
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"  # where FakeClock starts


def answer(error: Exception, clock: FakeClock | None = None) -> CredmgrError:
    def call(**_: Any) -> None:
        raise error

    with pytest.raises(CredmgrError) as caught:
        Calls(clock or FakeClock(), "alias/ours").ask(call, SecretId="caseforge/api-key")
    return caught.value


def said(code: str, message: str = "", status: int = 400, date: str = DATE) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {"date": date}},
    }
    return ClientError(response, "PutSecretValue")


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        ("ResourceNotFoundException", SecretNotFound, "no such secret"),
        ("ResourceExistsException", Conflict, "already"),
        ("InvalidRequestException", Refused, "refused"),
        ("InvalidParameterException", Refused, "refused"),
        ("LimitExceededException", LimitExceeded, "quota"),
        ("ThrottlingException", BackendUnavailable, "throttling"),
        ("TooManyRequestsException", BackendUnavailable, "throttling"),
        ("InternalServiceError", BackendUnavailable, "may have been applied"),
        ("RequestTimeout", BackendUnavailable, "may have been applied"),
        ("IDPCommunicationError", BackendUnavailable, "may have been applied"),
        ("AccessDeniedException", AccessDenied, "secretsmanager:PutSecretValue is not allowed"),
        ("403", AccessDenied, "secretsmanager:PutSecretValue is not allowed"),
        ("UnrecognizedClientException", AccessDenied, "does not know this access key"),
        ("InvalidClientTokenId", AccessDenied, "does not know this access key"),
        ("ExpiredTokenException", AccessDenied, "session token has expired"),
        ("SignatureDoesNotMatch", AccessDenied, "secret access key is wrong"),
        ("RequestTimeTooSkewed", AccessDenied, "clock is wrong"),
        ("DecryptionFailure", AccessDenied, "the KMS key alias/ours cannot be used"),
        ("EncryptionFailure", AccessDenied, "the KMS key alias/ours cannot be used"),
        ("SomethingNew", BackendError, "refused with SomethingNew"),
        ("<b>not a code</b>", BackendError, "an unreadable code"),
    ],
)
def test_each_code_is_one_error_of_ours(code: str, kind: type[CredmgrError], text: str) -> None:
    problem = answer(said(code))
    assert type(problem) is kind
    assert text in problem.message
    assert "caseforge/api-key" in problem.message
    assert problem.retryable is (kind is BackendUnavailable)


def test_an_unknown_code_of_a_broken_server_may_be_repeated() -> None:
    assert type(answer(said("502", status=502))) is BackendUnavailable


def test_a_gateway_that_asks_for_fewer_calls_is_no_refusal() -> None:
    assert type(answer(said("429", status=429))) is BackendUnavailable


def test_a_denial_of_kms_names_the_key() -> None:
    problem = answer(said("AccessDeniedException", "Access to KMS is not allowed"))
    assert "the KMS key alias/ours" in problem.message


@pytest.mark.parametrize(
    ("by", "text"),
    [
        (timedelta(minutes=7), ", 7 minutes ahead of AWS's"),
        (-timedelta(minutes=90), ", 90 minutes behind AWS's"),
        (timedelta(minutes=4), "is wrong ("),
    ],
)
def test_a_clock_that_is_off_is_told_with_its_distance(by: timedelta, text: str) -> None:
    clock = FakeClock()
    clock.jump(by)
    for code in ("InvalidSignatureException", "SignatureDoesNotMatch"):
        problem = answer(said(code, "Signature expired: 2026 is now earlier than 2026"), clock)
        assert f"clock is wrong{text.removeprefix('is wrong')}" in problem.message
    assert "the clock is wrong" in (answer(said("SignatureDoesNotMatch"), clock).hint or "")


def test_a_clock_is_not_compared_with_no_date() -> None:
    assert "AWS's" not in answer(said("RequestExpired", date="whenever")).message


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.NoCredentialsError(), AccessDenied),
        (exceptions.PartialCredentialsError(provider="env", cred_var="x"), AccessDenied),
        (exceptions.CredentialRetrievalError(provider="x", error_msg="y"), BackendUnavailable),
        (exceptions.TokenRetrievalError(provider="x", error_msg="y"), BackendUnavailable),
        (exceptions.NoRegionError(), ConfigError),
        (exceptions.ProfileNotFound(profile="x"), ConfigError),
        (exceptions.ConfigParseError(path="x", error="y"), ConfigError),
        (exceptions.EndpointConnectionError(endpoint_url="x", error="y"), BackendUnavailable),
        (exceptions.ReadTimeoutError(endpoint_url="x"), BackendUnavailable),
        (exceptions.ParamValidationError(report="x"), BackendError),
    ],
)
def test_what_botocore_meets_by_itself_is_told_apart(
    error: BotoCoreError, kind: type[CredmgrError]
) -> None:
    assert type(local_problem(error)) is kind
    assert type(answer(error)) is kind


def test_an_answer_that_botocore_cannot_read_is_an_outage() -> None:
    assert type(answer(ResponseParserError("x"))) is BackendUnavailable


def test_no_text_of_aws_or_botocore_reaches_our_errors() -> None:
    canary = new_canary()
    for error in (
        said("InvalidParameterException", canary),
        exceptions.ParamValidationError(report=canary),
        exceptions.HTTPClientError(request=canary, error=canary),
        ResponseParserError(canary),
    ):
        assert not leaks(canary, everything_in(answer(error)))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (EmptyPoolError(_POOL, "x"), "every connection was busy"),
        (SSLError(ssl.SSLError("x")), "TLS failed"),
        (NewConnectionError(_CONNECTION, "x"), "no connection"),
        (ReadTimeoutError(_POOL, "u", "x"), "may have been applied"),
        (ProtocolError("x"), "may have been applied"),
    ],
)
def test_what_urllib3_meets_is_told_apart(error: HTTPError, text: str) -> None:
    assert text in _reason(error)


@pytest.mark.parametrize(
    ("kind", "body", "readable"),
    [
        ("application/x-amz-json-1.1", b"{}", True),
        ("text/xml; charset=utf-8", b"<a/>", True),
        ("text/html", b"{}", False),
        ("application/json", b"[]", False),
        ("application/json", b"{", False),
        ("application/json", b"[" * 100_000, False),
    ],
)
def test_what_a_proxy_says_is_no_answer_of_aws(kind: str, body: bytes, readable: bool) -> None:  # noqa: FBT001
    headers: Any = {"Content-Type": kind}
    assert _is_of_aws(AWSResponse("x", 200, headers, _Read(body))) is readable


# --- values


def test_a_json_document_comes_back() -> None:
    wrapping = Wrapping(ValueForm.JSON, "key")
    text = wrapping.wrapped(Secret('a"b\n\u202e'))
    assert wrapping.unwrapped(text, "x").reveal() == 'a"b\n\u202e'


def test_a_document_is_measured_as_a_whole() -> None:
    wrapping = Wrapping(ValueForm.JSON, "key")
    wrapping.wrapped(Secret("x" * (65_536 - len('{"key": ""}'))))
    with pytest.raises(LimitExceeded):
        wrapping.wrapped(Secret("x" * (65_536 - len('{"key": ""}') + 1)))


@pytest.mark.parametrize("text", [None, "", "{", "[]", '"x"', "{}", '{"key": 1}', '{"key": ""}'])
def test_another_document_is_told_and_not_shown(text: str | None) -> None:
    with pytest.raises(CorruptSecret):
        Wrapping(ValueForm.JSON, "key").unwrapped(text, "x")


# --- labels


def test_a_secret_without_tags_or_versions_is_nobodys_and_empty() -> None:
    shelf = Shelf.described({"ARN": "a"})
    assert (shelf.ours, shelf.deleted, shelf.current, shelf.holder("AWSCURRENT")) == (
        False,
        False,
        None,
        None,
    )


def test_ids_of_others_have_a_stable_id_of_ours() -> None:
    assert version_of("not a uuid") == version_of("not a uuid") != version_of("another")
    shelf = Shelf.described({"ARN": "a", "VersionIdsToStages": {"theirs": ["AWSCURRENT"]}})
    assert shelf.current == version_of("theirs")
    assert shelf.spelled(version_of("theirs")) == "theirs"
    assert shelf.spelled(PLACEHOLDER) == str(PLACEHOLDER)


# --- pace


def test_a_secret_written_too_often_is_warned_of_once_in_an_hour() -> None:
    clock = FakeClock()
    with structlog.testing.capture_logs() as logs:
        pace = Pace(clock, "aws")
        for _ in range(SUSTAINED):
            pace.wrote("often")
            pace.wrote("seldom" + str(_))
        assert logs == []
        for _ in range(SUSTAINED):
            pace.wrote("often")
        assert [(log["log_level"], log["name"]) for log in logs] == [("warning", "often")]
        clock.advance(WINDOW)
        pace.wrote("often")
        assert len(logs) == 1


# --- web identity, as on EKS: the default chain asks STS over our wire


class _Cloud(Wire):
    """Plays STS and Secrets Manager."""

    def __init__(self) -> None:
        super().__init__(1, timedelta(seconds=1), None, ServerClock(FakeClock()))
        self.asked: list[str] = []

    def send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        body = request.body.decode() if isinstance(request.body, bytes) else str(request.body)
        self.asked.append(f"{request.url} {body}")
        text, kind = (STS, "text/xml") if "sts" in str(request.url) else ("{}", "application/json")
        headers: Any = {"content-type": kind}
        return AWSResponse(str(request.url), 200, headers, _Read(text.encode()))


STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>made</AccessKeyId>
<SecretAccessKey>up</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


def test_web_identity_of_the_default_chain_goes_over_our_wire(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "token").write_text("a-token-of-kubernetes")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/credmgr")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    cloud, calls = _Cloud(), Calls(FakeClock(), "key")
    clients = sign_in(AwsOptions(region="eu-central-1"), a_context(), cloud, calls)
    calls.ask(clients.secrets.describe_secret, SecretId="x")
    assert [each.partition(" ")[0] for each in cloud.asked] == [
        "https://sts.eu-central-1.amazonaws.com/",
        "https://secretsmanager.eu-central-1.amazonaws.com/",
    ]
    assert "a-token-of-kubernetes" in cloud.asked[0]
    clients.close()
    cloud.close()


# --- partitions


@pytest.mark.parametrize(
    ("options", "host"),
    [
        ({"region": "cn-north-1"}, "secretsmanager.cn-north-1.amazonaws.com.cn"),
        (
            {"region": "cn-north-1", "dualstack": True},
            "secretsmanager.cn-north-1.api.amazonwebservices.com.cn",
        ),
        ({"region": "us-gov-west-1"}, "secretsmanager.us-gov-west-1.amazonaws.com"),
        (
            {"region": "us-gov-west-1", "fips": True},
            "secretsmanager-fips.us-gov-west-1.amazonaws.com",
        ),
        (
            {"region": "us-gov-west-1", "fips": True, "dualstack": True},
            "secretsmanager-fips.us-gov-west-1.api.aws",
        ),
    ],
)
def test_each_partition_has_its_own_hosts(options: dict[str, Any], host: str) -> None:
    wire = Wire(1, timedelta(seconds=1), None, ServerClock(FakeClock()))
    clients = sign_in(AwsOptions(**options), a_context(), wire, Calls(FakeClock(), "key"))
    assert clients.secrets.meta.endpoint_url == f"https://{host}"
    assert clients.identity is not None
    assert clients.access is not None
    if options == {"region": "cn-north-1"}:
        assert clients.identity.meta.endpoint_url == "https://sts.cn-north-1.amazonaws.com.cn"
        assert clients.access.meta.endpoint_url == "https://iam.cn-north-1.amazonaws.com.cn"
    if options == {"region": "us-gov-west-1"}:
        assert clients.identity.meta.endpoint_url == "https://sts.us-gov-west-1.amazonaws.com"
        assert clients.access.meta.endpoint_url == "https://iam.us-gov.amazonaws.com"
    clients.close()
    wire.close()
