"""What becomes of the SDK's exceptions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import pytest
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError

from credmgr.backends.azure_key_vault.failures import (
    Call,
    Disabled,
    Malformed,
    Settling,
    SoftDeleted,
    Throttled,
    translated,
    wait_asked_for,
)
from credmgr.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    SecretNotFound,
)

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
CALL = Call("getSecret/action", "team--key")


@dataclass
class Response:
    status_code: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    content_type: str = "application/json"

    def text(self, encoding: str | None = None) -> str:  # noqa: ARG002 (as the SDK calls it)
        return self.body if isinstance(self.body, str) else json.dumps(self.body)


def an_error(code: str, inner: str | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": "quoted value", "innererror": {"code": inner}}}


def told(error: Exception) -> BackendError:
    def ask() -> NoReturn:
        raise error

    with pytest.raises(BackendError) as caught:
        translated(CALL, ask, lambda: NOW)
    assert caught.value.__context__ is None
    assert "quoted" not in str(caught.value)
    return caught.value


def test_a_file_to_sign_in_with_that_is_not_there_is_told_with_its_path() -> None:
    error = told(FileNotFoundError(2, "No such file or directory", "/run/token"))
    assert type(error) is AccessDenied
    assert str(error) == (
        "Key Vault getSecret of team--key: nothing to sign in with, /run/token cannot be read"
        " (No such file or directory)"
    )
    assert error.hint is not None
    assert "auth.token_file" in error.hint


def test_a_connection_that_breaks_below_the_sdk_is_retryable() -> None:
    assert type(told(ConnectionResetError())) is BackendUnavailable


def answered(
    status: int, body: Any = None, kind: type[HttpResponseError] = HttpResponseError
) -> HttpResponseError:
    response: Any = Response(status, body)
    return kind(message="quoted value", response=response)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (answered(404, kind=ResourceNotFoundError), SecretNotFound),
        (answered(403, an_error("Forbidden", "SecretDisabled")), Disabled),
        (answered(403, an_error("Forbidden", "ForbiddenByRbac")), AccessDenied),
        (answered(403, "<html>"), AccessDenied),
        (answered(401, kind=ClientAuthenticationError), AccessDenied),
        (answered(503, kind=ClientAuthenticationError), Throttled),
        (answered(409, an_error("Conflict"), ResourceExistsError), BackendUnavailable),
        (
            answered(
                409, an_error("Conflict", "ObjectIsDeletedButRecoverable"), ResourceExistsError
            ),
            SoftDeleted,
        ),
        (
            answered(409, an_error("Conflict", "ObjectIsBeingDeleted"), ResourceExistsError),
            Settling,
        ),
        (
            answered(409, an_error("Conflict", "ObjectIsBeingRecovered"), ResourceExistsError),
            Settling,
        ),
        (answered(400, an_error("BadParameter")), Malformed),
        (answered(302), BackendError),
        (answered(429), Throttled),
        (answered(500), Throttled),
        (answered(200, "<html>", DecodeError), BackendUnavailable),
        (CredentialUnavailableError("none"), AccessDenied),
        (ServiceRequestError("no"), BackendUnavailable),
        (ServiceResponseError("no"), BackendUnavailable),
        (AzureError("no"), BackendUnavailable),
        (ValueError("Expecting value"), BackendUnavailable),
        (AttributeError("value"), BackendUnavailable),
        (ValueError("The challenge resource does not match"), BackendError),
    ],
)
def test_each_failure_has_its_error(error: Exception, expected: type[BackendError]) -> None:
    assert type(told(error)) is expected


def test_a_refusal_names_the_action_that_is_missing() -> None:
    error = told(answered(403, an_error("Forbidden", "ForbiddenByRbac")))
    assert str(error) == (
        "Key Vault getSecret of team--key: refused (Forbidden, ForbiddenByRbac); "
        "it needs the data action Microsoft.KeyVault/vaults/secrets/getSecret/action"
    )


def test_an_untrusted_certificate_is_told_with_the_remedy() -> None:
    error = told(ServiceRequestError("[SSL: CERTIFICATE_VERIFY_FAILED] quoted"))
    assert "ca_bundle" in str(error)


def test_codes_that_are_no_codes_are_not_shown() -> None:
    error = told(answered(400, {"error": {"code": "not a code: quoted"}}))
    assert str(error) == "Key Vault getSecret of team--key: answered 400"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 7 "}, 7),
        ({"retry-after": "1000000000000"}, 3600),
        ({"retry-after": "86400"}, 3600),
        ({"retry-after": "Tue, 24 Nov 2026 08:00:20 GMT"}, 20),
        ({"retry-after": "Tue, 24 Nov 2026 07:00:00 GMT"}, 0),
        ({"retry-after": "Tue, 24 Nov 2026 08:00:20 -0000"}, 20),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
    ],
)
def test_how_long_an_answer_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert wait_asked_for(headers, NOW) == expected
