"""The access log: each request in words; never a query, a header, a body or a value."""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from credmgr.model.clock import Clock
from credmgr.sandbox.log import Entry, EntryKind, listen

_WORDS: Final[Mapping[EntryKind, str]] = {
    EntryKind.APPLICATION_DECLARED: "wrote down an application",
    EntryKind.SECRET_CREATED: "issued a new secret",
    EntryKind.SECRET_DISABLED: "disabled a secret",
    EntryKind.SECRET_ENABLED: "enabled a secret again",
    EntryKind.SECRET_REVOKED: "revoked a secret",
    EntryKind.TOKEN_ISSUED: "handed out an access token",
    EntryKind.TOKEN_REFUSED: "refused to hand out a token",
    EntryKind.TOKEN_INSPECTED: "looked at a token for its client",
    EntryKind.TOKEN_REVOKED: "ended an access token early",
    EntryKind.CLIENT_REFUSED: "did not recognise a client",
    EntryKind.API_ACCEPTED: "served the API",
    EntryKind.API_DENIED: "kept the API closed: scope missing",
    EntryKind.API_REFUSED: "kept the API closed: bearer not valid",
}
_NO_ANSWER: Final = 0


class AccessLog:
    """Wraps an application and tells what it did, at INFO, through structlog."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock
        self._logger = structlog.stdlib.get_logger("credmgr.sandbox")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and log it when it is over."""
        status = _NO_ANSWER

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        begun = self._clock.monotonic()
        heard = listen()
        try:
            await self._app(scope, receive, watched)
        finally:
            took = (self._clock.monotonic() - begun).total_seconds()
            self._tell(scope, heard, status=status, took_ms=round(took * 1000, 1))

    def _tell(self, scope: Scope, heard: list[Entry], **more: float) -> None:
        faults = [str(fault.effect) for fault in scope["state"].get("faults", ())]
        about: dict[str, Any] = {**more, "faults": faults} if faults else more
        if not more["status"]:
            about = {**about, "answer": "none"}
        for entry in heard:
            self._logger.info(_WORDS[entry.kind], **_of(entry), **about)
        if not heard:
            path = getattr(scope.get("route"), "path", "nothing here")
            self._logger.info("answered", route=f"{scope['method']} {path}", **about)


def _of(entry: Entry) -> dict[str, Any]:
    said: dict[str, Any] = {"seq": entry.seq, "outcome": entry.outcome}
    if entry.who is not None:
        said["credential"] = entry.who.credential
        said["secret_id"] = entry.who.secret_id
        said["label"] = entry.who.label
    if entry.detail:
        said["detail"] = entry.detail
    return {name: value for name, value in said.items() if value}
