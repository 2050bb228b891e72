"""Tokens that are at hand, given out ahead of every framework.

Who asked what in the same words before, and may still, gets the answer that was made for it: one
hash, one look into a dictionary, and the broker's word that the token is valid now. Everything
else goes the long way (`tokens.py`), which remembers here what it has found out.
"""

import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from starlette.requests import Request
from starlette.types import Message, Scope, Send

from credmgr.api.house import House
from credmgr.broker.asking import Ask
from credmgr.model.token import Token

PATH: Final = b"/v1/tokens/"
ROUTE: Final = "/v1/tokens/{credential:path}"
_MOST: Final = 10_000
"""Questions that are remembered; above it all are forgotten, and asked once more."""
_HEADERS: Final = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"pragma", b"no-cache"),
]


def token_facts(token: Token, now: datetime) -> dict[str, Any]:
    """What is told of a token, with its value (RFC 6749 §5.1)."""
    return {
        "access_token": token.value.reveal(),
        "token_type": "Bearer",
        "expires_in": max(0, int((token.expires_at - now).total_seconds())),
        "scope": " ".join(sorted(token.scopes)),
    }


@dataclass(slots=True)
class Slot:
    """One caller's question, and the answer as it was last given.

    Attributes:
        ask: The question.
        generation: Of what was known of callers when it was found to be allowed.
        token: The token of the answer.
        until: The moment, monotonic in seconds, from which `expires_in` is another.
    """

    ask: Ask
    generation: int
    token: Token | None = None
    until: float = 0.0
    start: Message = field(default_factory=dict)
    body: Message = field(default_factory=dict)

    def render(self, token: Token, now: datetime) -> None:
        """Make the answer anew."""
        body = json.dumps(token_facts(token, now)).encode()
        length = (b"content-length", str(len(body)).encode())
        headers = [*_HEADERS, length]
        self.start = {"type": "http.response.start", "status": 200, "headers": headers}
        self.body = {"type": "http.response.body", "body": body}
        left = (token.expires_at - now).total_seconds()
        self.token, self.until = token, time.monotonic() + left % 1


class FastTokens:
    """What was asked before, by whom and in which words."""

    def __init__(self, house: House) -> None:
        self._callers, self._counts = house.callers, house.counts
        self._broker, self._clock = house.app.broker, house.app.clock
        self._slots: dict[Any, Slot] = {}

    async def serve(self, scope: Scope, authorization: bytes | None, send: Send) -> bool:
        """Give the token out when it is at hand; False when the long way has to be gone."""
        path = scope["raw_path"]
        if not path.startswith(PATH) or scope["method"] != "GET":
            return False
        slot = self._slots.get((_who(scope, authorization), path, scope["query_string"]))
        if slot is None or slot.generation != self._callers.generation:
            return False
        token = self._broker.cached(slot.ask)
        if token is None:
            return False
        if token is not slot.token or time.monotonic() >= slot.until:
            slot.render(token, self._clock.now())
        self._counts.hits += 1
        await send(slot.start)
        await send(slot.body)
        return True

    def remember(self, request: Request, ask: Ask, generation: int) -> None:
        """That this caller may ask this, as long as nothing changes in who may ask what."""
        scope, sent = request.scope, request.headers.get("authorization")
        authorization = None if sent is None else sent.encode("latin-1")
        if len(self._slots) >= _MOST:
            self._slots.clear()
        key = (_who(scope, authorization), scope["raw_path"], scope["query_string"])
        self._slots[key] = Slot(ask, generation)


def _who(scope: Scope, authorization: bytes | None) -> object:
    """What tells callers apart without keeping a bearer."""
    return scope["client"] if authorization is None else sha256(authorization).digest()
