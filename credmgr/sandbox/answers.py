"""What a refused request is answered: one JSON shape everywhere, each error mapped once.

The shape is that of RFC 6749 §5.2: `error` is a stable code, `error_description` a sentence in
ASCII without quotes or backslashes, and further members say more where there is more to say.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ExceptionHandler

from credmgr.errors import CredmgrError, NoFreeSlot, StateUnavailable
from credmgr.sandbox.log import Who

REALM: Final = "CaseForge sandbox"
NO_STORE: Final[Mapping[str, str]] = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_CODES_BY_STATUS: Final[Mapping[int, str]] = {404: "not_found", 405: "method_not_allowed"}
_SENTENCES_BY_STATUS: Final[Mapping[int, str]] = {
    404: "There is nothing at this address; GET / lists what there is.",
    405: "This address does not take this method; the Allow header lists what it takes.",
}


class Refusal(CredmgrError):
    """The request is refused.

    Attributes:
        status: The HTTP status.
        reason: The stable code in `error`.
        headers: Headers of the answer, such as the challenge of a 401.
        more: Further members of the answer's body.
        who: Whose secret was presented, as far as known: for the ground truth, not for the answer.
    """

    code: ClassVar[str] = "refusal"

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
        who: Who | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})
        self.more = dict(more or {})
        self.who = who


def answered(body: Mapping[str, Any], status: int = 200) -> Response:
    """`body` as JSON that nobody keeps."""
    return JSONResponse(body, status, NO_STORE)


def bad_request(message: str, **more: Any) -> Refusal:
    """400 `invalid_request`."""
    return Refusal(400, "invalid_request", message, more=more)


def not_found(what: str) -> Refusal:
    """404 `not_found`; `what` reads as in "no such case"."""
    return Refusal(404, "not_found", f"There is no such {what}.")


def conflict(reason: str, message: str) -> Refusal:
    """409: the state of the thing forbids it."""
    return Refusal(409, reason, message)


def challenge(scheme: str, **parameters: str) -> dict[str, str]:
    """A `WWW-Authenticate` header (RFC 9110 §11.6.1) with our realm and `parameters`."""
    listed = {"realm": REALM, **parameters}
    text = ", ".join(f'{name}="{value}"' for name, value in listed.items())
    return {"WWW-Authenticate": f"{scheme} {text}"}


async def answer_error(_request: Request, error: Exception) -> Response:
    """The answer to whatever an endpoint raised."""
    refusal = _as_refusal(error)
    body = {"error": refusal.reason, "error_description": refusal.message, **refusal.more}
    return JSONResponse(body, refusal.status, {**NO_STORE, **refusal.headers})


def _as_refusal(error: Exception) -> Refusal:
    match error:
        case Refusal():
            return error
        case NoFreeSlot():
            return conflict("no_free_slot", error.message)
        case StateUnavailable():
            message = "The database of the sandbox is locked or full."
            return Refusal(503, "temporarily_unavailable", message, headers={"Retry-After": "1"})
        case HTTPException():
            code = _CODES_BY_STATUS.get(error.status_code, "invalid_request")
            sentence = _SENTENCES_BY_STATUS.get(error.status_code, error.detail)
            return Refusal(error.status_code, code, sentence, headers=error.headers)
        case _:
            return Refusal(500, "server_error", "The sandbox failed; its log says why.")


EXCEPTION_HANDLERS: Final[Mapping[int | type[Exception], ExceptionHandler]] = dict.fromkeys(
    (Refusal, NoFreeSlot, StateUnavailable, HTTPException, Exception), answer_error
)
