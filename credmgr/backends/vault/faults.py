"""The one place where what the server, hvac and the network say becomes our errors."""

import errno
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from hvac.exceptions import VaultError
from urllib3.exceptions import (
    ConnectTimeoutError,
    EmptyPoolError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from credmgr.errors import AccessDenied, BackendError, BackendUnavailable, Conflict, LimitExceeded

_TOO_MANY: Final = 429
_GONE: Final = 404
_OVERSIZE: Final = 413
_NOT_NOW: Final = {
    408: "did not get the whole request in time",
    412: "has not yet caught up with an earlier write",
    425: "does not yet take the request",
    429: "asks for fewer calls",
    472: "is a standby of a disaster recovery cluster",
    473: "is a performance standby",
    501: "is not initialised",
}


class RateLimited(BackendUnavailable):
    """The server asks for fewer calls."""


class Said(Enum):
    """What the errors of an answer come to; their text may quote the request, so it is not kept."""

    NOTHING = "nothing"
    """No error: a 404 of a path or version that is not there."""
    LOST_RACE = "check-and-set parameter did not match"
    NO_ROUTE = "no handler for route"
    SEALED = "sealed"
    NO_LEADER = "active cluster node not found"
    UPGRADING = "from non-versioned to versioned data"
    """Just mounted or made KV v2, with status 400; a secondary waits for its primary likewise."""
    TOO_LARGE = "value being too large"
    """The storage takes less, with status 500."""
    OTHER = "other"

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "Said":
        """What `answer`, the JSON object of a refusal, says."""
        errors = answer.get("errors")
        if errors == [] or isinstance(answer.get("data"), dict):
            return cls.NOTHING
        text = " ".join(map(str, errors)) if isinstance(errors, list) else ""
        told = (said for said in cls if said not in (cls.NOTHING, cls.OTHER) and said.value in text)
        return next(told, cls.OTHER)


class Refused(VaultError):  # type: ignore[misc,unused-ignore] # hvac ships no types
    """An answer that is not 2xx, without anything of the request in it.

    Attributes:
        status: HTTP status.
        said: What its errors come to.
        metadata: What came with a 404 of a version that is deleted or destroyed, or None.
        retry_after: What the header asks, or None.
    """

    def __init__(
        self, status: int, answer: Mapping[str, Any], retry_after: timedelta | None = None
    ) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.said = Said.of(answer)
        data = answer.get("data")
        self.metadata = data.get("metadata") if isinstance(data, dict) else None
        self.retry_after = retry_after

    @property
    def absent(self) -> bool:
        """Whether the API says that there is no such thing; a proxy's 404 does not."""
        return self.status == _GONE and self.said is Said.NOTHING

    def __str__(self) -> str:
        return f"status {self.status}"


class Nonsense(VaultError):  # type: ignore[misc,unused-ignore] # hvac ships no types
    """An answer that is not what the API says."""

    def __str__(self) -> str:
        return "an answer that is not what the API says"


@contextmanager
def translated(what: str, need: str) -> Iterator[None]:
    """Turn what hvac, urllib3 and the server say into backend errors.

    Args:
        what: The call, for the message: `secret/data/credmgr/a: read`.
        need: What a policy must grant for it.
    """
    try:
        yield
    except Refused as error:
        raise _refusal(error, what, need) from error
    except VaultError as error:
        raise BackendUnavailable(f"{what}: the answer is not what the API says") from error
    except HTTPError as error:
        reason = _reason(error)
        # Nothing of urllib3's is chained: a broken answer may be quoted there.
        raise BackendUnavailable(f"{what}: {reason}") from None


def _refusal(error: Refused, what: str, need: str) -> BackendError:
    match error.status:
        case 400 if error.said is Said.LOST_RACE:
            return Conflict(f"{what}: somebody else wrote it first")
        case 401 | 403:
            return AccessDenied(f"{what}: permission denied", hint=f"the policy must grant {need}")
        case status if status == _OVERSIZE or error.said is Said.TOO_LARGE:
            return LimitExceeded(f"{what}: the server finds it too large")
        case status if status >= 500 or status in _NOT_NOW:  # noqa: PLR2004 (RFC 9110 §15.6)
            return _not_now(error, what)
        case _:
            return _misplaced(error, what)


def _not_now(error: Refused, what: str) -> BackendUnavailable:
    asked = error.retry_after
    if error.status == _TOO_MANY:
        wait = "" if asked is None else f", in {asked.total_seconds():.0f} s"
        return RateLimited(f"{what}: the server {_NOT_NOW[_TOO_MANY]}{wait}", retry_after=asked)
    if error.said is Said.SEALED:
        return BackendUnavailable(
            f"{what}: the server is sealed", hint="unseal it", retry_after=asked
        )
    if error.said is Said.NO_LEADER:
        return BackendUnavailable(
            f"{what}: the server is a standby and knows of no active node",
            hint="if it lasts, too few nodes are up and unsealed to elect one",
            retry_after=asked,
        )
    why = _NOT_NOW.get(error.status)
    told = f"{what}: the server {why}" if why else f"{what}: {error}"
    return BackendUnavailable(told, retry_after=asked)


def _misplaced(error: Refused, what: str) -> BackendError:
    if error.said is Said.NO_ROUTE:  # a mount that is gone holds no proof of absence
        return BackendUnavailable(f"{what}: nothing is mounted there", hint="mount it again")
    if error.said is Said.UPGRADING:
        return BackendUnavailable(f"{what}: the server is still making the mount KV version 2")
    if 300 <= error.status < 400:  # noqa: PLR2004 (RFC 9110 §15.4)
        return BackendUnavailable(
            f"{what}: the server points elsewhere, and the token goes nowhere else",
            hint="give the address of the active node, or let standbys forward",
        )
    if error.status == _GONE:
        return BackendUnavailable(f"{what}: a 404 that is not what the API says")
    return BackendError(f"{what}: refused with {error}")


def _reason(error: HTTPError) -> str:
    match error:
        case EmptyPoolError():
            return "not sent, every connection was busy"
        case ReadTimeoutError():
            return "no whole answer within the deadline"
        case SSLError():
            return _tls_reason(error.args[-1] if error.args else None)
        case ConnectTimeoutError() | NewConnectionError():
            return f"no connection, {_connect_reason(error.__cause__)}"
        case _:
            return "the connection broke before the answer was whole"


def _tls_reason(cause: object) -> str:
    match cause:
        case ssl.SSLCertVerificationError(verify_message=str() as why):
            return f"the certificate is not trusted ({why}; ca_bundle can name its authority)"
        case _:
            return "TLS failed"


def _connect_reason(cause: object) -> str:
    match cause:
        case socket.gaierror():
            return "the name does not resolve"
        case OSError(errno=int() as number):
            return errno.errorcode.get(number, f"error {number}")
        case _:
            return "it did not open in time"
