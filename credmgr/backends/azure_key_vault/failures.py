"""Where the SDK's exceptions become ours: the only place that knows them."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
)
from azure.identity import CredentialUnavailableError

from credmgr.backends.azure_key_vault.transport import Trouble, is_not_now, troubles
from credmgr.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    Conflict,
    SecretNotFound,
)
from credmgr.plugins.clocks import MAX_RETRY_AFTER, retry_after

_T = TypeVar("_T")
_MS: Final = timedelta(milliseconds=1)
_DIGITS: Final = 12
"""More milliseconds than these digits hold are far beyond what is obeyed."""
_SETTLING: Final = frozenset({"ObjectIsBeingDeleted", "ObjectIsBeingRecovered"})
_CODE_LENGTH: Final = 64
_MSAL_REMEMBERS: Final = timedelta(seconds=5)
"""So long it answers by itself, after a "not now" that says nothing else."""


class Disabled(SecretNotFound):
    """The version is there and disabled, so the vault does not give it out."""


class SoftDeleted(Conflict):
    """The name belongs to an object that was deleted and can be recovered."""


class Settling(BackendUnavailable):
    """The vault is still deleting or recovering the object."""


class Malformed(BackendError):
    """The vault cannot do anything with the request."""


class Throttled(BackendUnavailable):
    """The vault asked to be left alone."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the vault, for messages.

    Attributes:
        action: The data action that it needs, below `Microsoft.KeyVault/vaults/secrets/`.
        name: The object's name in the vault.
    """

    action: str
    name: str

    def __str__(self) -> str:
        return f"Key Vault {self.action.partition('/')[0]} of {self.name}"


def translated(call: Call, ask: Callable[[], _T], now: Callable[[], datetime]) -> _T:
    """Ask the SDK; whatever it raises becomes one of our errors.

    Ours is raised after the SDK's is gone, not `from` it: the SDK's holds the request, and with it
    the value that was sent.
    """
    try:
        return ask()
    except AzureError as error:
        problem = _of_azure(call, error, now)
    except OSError as error:
        problem = _of_file(call, error)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        problem = _of_nonsense(call, error)
    raise problem


def _of_azure(call: Call, error: AzureError, now: Callable[[], datetime]) -> BackendError:
    response = getattr(error, "response", None)
    status: int = getattr(response, "status_code", None) or 0
    if response is not None and is_not_now(status):
        return _not_now(call, status, response.headers, now)
    match error:
        case ClientAuthenticationError():
            return _of_sign_in(call, error, now)
        case HttpResponseError() if status >= 300:  # noqa: PLR2004 (RFC 9110)
            return _of_status(call, status, response)
        case ServiceRequestError():
            return BackendUnavailable(f"{call}: not sent, no connection{_why(error)}")
        case _:
            return BackendUnavailable(f"{call}: no whole answer; it may have been applied")


def _of_sign_in(
    call: Call, error: ClientAuthenticationError, now: Callable[[], datetime]
) -> BackendError:
    """What a failed sign-in means: the SDK has one exception for an outage and for a refusal."""
    outages = [one for one in troubles() if _counts(one, error)]
    if error.response is None and outages:
        return _outage(call, outages[-1], error, now)
    if isinstance(error, CredentialUnavailableError):
        return AccessDenied(f"{call}: there is nothing to sign in with", hint=_SIGN_IN)
    return AccessDenied(f"{call}: signing in was refused{_said(error.response)}", hint=_SIGN_IN)


def _counts(trouble: Trouble, error: ClientAuthenticationError) -> bool:
    # `default` looks for the metadata service everywhere; that it is nowhere is no outage. What
    # has once signed in by it, and `managed-identity`, say "unavailable" instead.
    return not trouble.is_imds or isinstance(error, CredentialUnavailableError)


def _outage(
    call: Call, trouble: Trouble, error: AzureError, now: Callable[[], datetime]
) -> BackendError:
    signing_in = f"{call}: not sent, signing in at {trouble.host}"
    if trouble.status is None:
        return BackendUnavailable(f"{signing_in} got no answer{_why(error)}")
    wait = wait_asked_for(trouble.headers, now()) or _MSAL_REMEMBERS
    return Throttled(f"{signing_in} was answered {trouble.status}", retry_after=wait)


_SIGN_IN: Final = "look at `auth`, `authority` and the application in Microsoft Entra"


def _of_status(call: Call, status: int, response: Any) -> BackendError:
    match status:
        case 400:
            return Malformed(f"{call}: answered 400{_said(response)}")
        case 404:
            return SecretNotFound(f"{call}: there is none")
        case 403:
            return _of_refusal(call, response)
        case 409:
            return _of_conflict(call, response)
        case _:
            return BackendError(f"{call}: answered {status}{_said(response)}")


def _of_refusal(call: Call, response: Any) -> BackendError:
    if "SecretDisabled" in _codes(response):
        return Disabled(f"{call}: it is disabled")
    action = f"Microsoft.KeyVault/vaults/secrets/{call.action}"
    return AccessDenied(
        f"{call}: refused{_said(response)}; it needs the data action {action}",
        hint="grant it (policies/backends/azure-role.json), and look at the vault's firewall",
    )


def _of_conflict(call: Call, response: Any) -> BackendError:
    codes = set(_codes(response))
    if "ObjectIsDeletedButRecoverable" in codes:
        return SoftDeleted(f"{call}: the name is soft-deleted")
    if codes & _SETTLING:
        return Settling(f"{call}: still being deleted or recovered")
    # "You're requesting multiple operations on same item" (learn.microsoft.com, "Azure Key Vault
    # REST API error codes"), or an answer that was cut off: neither says that we may not.
    return BackendUnavailable(f"{call}: conflicts with another call{_said(response)}")


def _not_now(
    call: Call, status: int, headers: Mapping[str, str], now: Callable[[], datetime]
) -> BackendError:
    wait = wait_asked_for(headers, now())
    asked = f", and asks to wait {wait.total_seconds():g} s" if wait else ""
    return Throttled(f"{call}: answered {status}{asked}", retry_after=wait)


def _of_file(call: Call, error: OSError) -> BackendError:
    if not error.filename:
        return BackendUnavailable(f"{call}: not sent, no connection")
    return AccessDenied(
        f"{call}: nothing to sign in with, {error.filename} cannot be read ({error.strerror})",
        hint="mount the workload identity's token there, or name its file in auth.token_file",
    )


def _of_nonsense(call: Call, error: Exception) -> BackendError:
    if isinstance(error, ValueError) and "challenge" in str(error):
        return BackendError(
            f"{call}: the vault asks for a token of another domain than its own",
            hint="check vault_url; verify_challenge_resource: false is for emulators",
        )
    return BackendUnavailable(f"{call}: the answer makes no sense")


def _why(error: AzureError) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ": the certificate is not trusted (ca_bundle can name its authority)"
    return ""


def _said(response: Any) -> str:
    codes = list(_codes(response))
    return f" ({', '.join(codes)})" if codes else ""


def _codes(response: Any) -> Iterator[str]:
    """The error codes of an answer, outermost first; never its message, which may quote."""
    try:
        part = json.loads(response.text())["error"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return
    while isinstance(part, dict):
        if isinstance(code := part.get("code"), str) and code.isalnum():
            yield code[:_CODE_LENGTH]
        part = part.get("innererror")


def wait_asked_for(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """How long an answer asks to wait: milliseconds (Azure), seconds, or an HTTP date.

    Never negative and at most an hour. None when it says nothing that can be understood.
    """
    for header in ("retry-after-ms", "x-ms-retry-after-ms"):
        text = headers.get(header, "").strip()
        if text.isascii() and text.isdecimal():
            return MAX_RETRY_AFTER if len(text) > _DIGITS else min(int(text) * _MS, MAX_RETRY_AFTER)
    return retry_after(headers.get("retry-after"), now)
