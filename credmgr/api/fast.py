"""Tokens that are at hand, given out ahead of every framework.

Who asked what in the same words before, and may still, gets the answer that was made for it: one
hash, one look into a dictionary, and the broker's word that the token is valid now. Only requests
of the plainest kind are served so; whatever has one unusual header goes the long way (`front.py`,
`tokens.py`), where it is judged, and where it is remembered for here what was found out.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from hashlib import sha256
from typing import Any, Final, TypeAlias

from starlette.requests import Request

from credmgr.api.house import House
from credmgr.broker.asking import Ask
from credmgr.model.token import Token

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

PATH: Final = b"/v1/tokens/"
ROUTE: Final = "/v1/tokens/{credential:path}"
_MOST: Final = 10_000
"""Questions that are remembered; above it all are forgotten, and asked once more."""
PLAIN: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"sec-fetch-mode",
        b"traceparent",
        b"tracestate",
        b"user-agent",
    }
)
"""Headers without a meaning here, whatever they say."""
_HEAD: Final = """\
HTTP/1.1 200 OK\r
date: {date}\r
content-type: application/json\r
cache-control: no-store\r
pragma: no-cache\r
content-length: {length}\r
\r
"""


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
        answer: As it was last given, headers and body.
    """

    ask: Ask
    generation: int
    token: Token | None = None
    until: float = 0.0
    answer: bytes = b""

    def render(self, token: Token, now: datetime) -> None:
        """Make the answer anew, as it goes over the wire."""
        body = json.dumps(token_facts(token, now))
        head = _HEAD.format(date=format_datetime(now, usegmt=True), length=len(body))
        self.answer = (head + body).encode("ascii")
        left = (token.expires_at - now).total_seconds()
        self.token, self.until = token, time.monotonic() + left % 1


class FastTokens:
    """What was asked before, by whom and in which words.

    Attributes:
        hosts: What the Host header may say.
    """

    def __init__(self, house: House, hosts: Iterable[str]) -> None:
        self.hosts = frozenset(host.encode() for host in hosts)
        self._callers, self._counts = house.callers, house.counts
        self._broker, self._clock = house.app.broker, house.app.clock
        self._slots: dict[Any, Slot] = {}

    def answer(self, headers: Headers, target: bytes, peer: object) -> bytes | None:
        """The whole answer to a GET that keeps its connection; None when it is not at hand.

        Args:
            headers: All of the request's, their names in small letters.
            target: Its path and query, as they were sent.
            peer: Who is at the other end, where no header says it.
        """
        host = authorization = None
        for name, value in headers:
            if name == b"host" and host is None:
                host = value
            elif name == b"authorization" and authorization is None:
                authorization = value
            elif name not in PLAIN and (name != b"connection" or value != b"keep-alive"):
                return None
        if host not in self.hosts:
            return None
        slot = self._slots.get((_who(authorization, peer), target))
        return None if slot is None else self._current(slot)

    def _current(self, slot: Slot) -> bytes | None:
        if slot.generation != self._callers.generation:
            return None
        token = self._broker.cached(slot.ask)
        if token is None:
            return None
        if token is not slot.token or time.monotonic() >= slot.until:
            slot.render(token, self._clock.now())
        self._counts.hits += 1
        return slot.answer

    def remember(self, request: Request, ask: Ask, generation: int) -> None:
        """That this caller may ask this, as long as nothing changes in who may ask what."""
        scope, sent = request.scope, request.headers.get("authorization")
        authorization = None if sent is None else sent.encode("latin-1")
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        if len(self._slots) >= _MOST:
            self._slots.clear()
        self._slots[_who(authorization, scope["client"]), target] = Slot(ask, generation)


def _who(authorization: bytes | None, peer: object) -> object:
    """What tells callers apart without keeping a bearer."""
    return peer if authorization is None else sha256(authorization).digest()
