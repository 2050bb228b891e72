"""Who may use the management API: whoever holds the admin token."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from credmgr.model.secret import Secret
from credmgr.sandbox.answers import Refusal, challenge
from credmgr.sandbox.gate import bearer_of

Endpoint = Callable[[Request], Awaitable[Response]]


class Admin:
    """Compares bearers with the admin token in constant time."""

    def __init__(self, token: Secret) -> None:
        self._digest = _digest(token.reveal())

    def recognises(self, request: Request) -> bool:
        """Whether `request` carries the admin token."""
        try:
            bearer = bearer_of(request)
        except Refusal:
            return False
        return hmac.compare_digest(self._digest, _digest(bearer))

    def only(self, endpoint: Endpoint) -> Endpoint:
        """`endpoint`, closed to everybody else with a 401."""

        async def guarded(request: Request) -> Response:
            bearer_of(request)
            if not self.recognises(request):
                message = "The bearer is not the admin token."
                headers = challenge("Bearer", error="invalid_token", error_description=message)
                raise Refusal(401, "invalid_token", message, headers=headers)
            return await endpoint(request)

        return guarded


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
