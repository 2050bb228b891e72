"""What a refused request is answered: problem+json (RFC 9457), each error mapped once."""

import json
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar, Final

from starlette.responses import Response

from credmgr.errors import (
    CredmgrError,
    NotGranted,
    ScopeNotGranted,
    SecretNotFound,
)

REALM: Final = "credmgr"
NO_STORE: Final[Mapping[str, str]] = {"Cache-Control": "no-store"}
_TITLES: Final[Mapping[int, str]] = {
    400: "The request makes no sense",
    401: "Who you are is not proven",
    403: "This is more than your grant gives",
    404: "There is no such thing for you",
    405: "This address does not take this method",
    413: "The body is too large",
    415: "The body is of another type than expected",
    421: "The request was meant for somebody else",
    431: "The headers are too large",
    500: "credmgr failed",
    503: "It cannot be had now; come again",
}
_COME_AGAIN: Final = timedelta(seconds=1)


class Refusal(CredmgrError):
    """The request is refused.

    Attributes:
        status: The HTTP status.
        reason: A stable word for programs.
        headers: Headers of the answer.
    """

    code: ClassVar[str] = "refusal"

    def __init__(
        self, status: int, reason: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})


def not_found() -> Refusal:
    """What is unknown and what is not granted look alike."""
    return Refusal(404, "not_found", "No such thing is known, or none that you may see.")


def bad_request(message: str) -> Refusal:
    """400 `invalid_request`."""
    return Refusal(400, "invalid_request", message)


def too_large() -> Refusal:
    """431: the headers are."""
    return Refusal(431, "headers_too_large", "The headers are too many or too large.")


def unproven(*, tried: bool = False) -> Refusal:
    """401 with its challenge (RFC 6750 §3); `tried` when a bearer was sent."""
    challenge = f'Bearer realm="{REALM}"' + (', error="invalid_token"' if tried else "")
    message = (
        "This bearer is not one of ours."
        if tried
        else "Send a bearer, or come by the Unix socket as a user whom the manifest knows."
    )
    return Refusal(401, "unauthenticated", message, {"WWW-Authenticate": challenge})


def unavailable(message: str, after: timedelta | None = None) -> Refusal:
    """503 with Retry-After (RFC 9110 §10.2.3)."""
    seconds = max(1, math.ceil((after or _COME_AGAIN).total_seconds()))
    return Refusal(503, "unavailable", message, {"Retry-After": str(seconds)})


def refusal_of(error: Exception) -> Refusal:
    """The answer to whatever a route raised."""
    match error:
        case Refusal():
            return error
        case NotGranted():
            return not_found()
        case ScopeNotGranted():
            return Refusal(403, "scope_not_granted", "The grant does not give all these scopes.")
        case SecretNotFound():
            return unavailable("There is no secret yet.", timedelta(seconds=10))
        case CredmgrError() if error.retryable:
            return unavailable("What it needs does not answer.", _after(error))
        case _:
            return Refusal(500, "internal", "The log says why.")


def answer(refusal: Refusal) -> Response:
    """A refusal as problem+json."""
    body = {
        "type": f"urn:credmgr:problem:{refusal.reason}",
        "title": _TITLES.get(refusal.status, "The request is refused"),
        "status": refusal.status,
        "detail": refusal.message,
    }
    return Response(
        json.dumps(body),
        refusal.status,
        {**NO_STORE, **refusal.headers},
        media_type="application/problem+json",
    )


def _after(error: CredmgrError) -> timedelta | None:
    after = getattr(error, "retry_after", None)
    return after if isinstance(after, timedelta) else None
