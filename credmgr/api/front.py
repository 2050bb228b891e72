"""The front door: what every request has to pass that is not answered at once (`fast.py`)."""

import re
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from credmgr.api.fast import FastTokens, Headers
from credmgr.api.limits import HEADER_BYTES, HEADERS
from credmgr.api.problems import Refusal, answer, bad_request, not_found, refusal_of, too_large

STRANGE: Final = frozenset({b"origin", b"forwarded", b"x-real-ip", b"x-client-ip", b"client-ip"})
_FORWARDED: Final = b"x-forwarded"
_PATH: Final = re.compile(rb"/(?:[A-Za-z0-9._~-]+/?)*")
_DOTS: Final = re.compile(rb"(?:^|/)\.{1,2}(?:/|$)")
_log = structlog.get_logger("credmgr.api")


def examine(headers: Headers, hosts: frozenset[bytes]) -> None:
    """Let in what was sent to us and to nobody else.

    Args:
        headers: All of them, their names in small letters.
        hosts: What the Host header may say.

    Raises:
        Refusal: There is not exactly one known Host; it comes from a browser's page (Origin), or
            by way of somebody who forwards it; it says twice who it is.
    """
    host = authorization = None
    for name, value in headers:
        if name == b"host":
            if host is not None:
                raise bad_request("There is more than one Host header.")
            host = value
        elif name == b"authorization":
            if authorization is not None:
                raise bad_request("There is more than one Authorization header.")
            authorization = value
        elif name in STRANGE or name.startswith(_FORWARDED):
            raise _strange(name)
    if host is None or (host not in hosts and host.lower() not in hosts):
        raise _misdirected(host)


def _misdirected(host: bytes | None) -> Refusal:
    if host is None:
        return bad_request("There is no Host header.")
    return Refusal(421, "host", "The Host header does not name this service.")


def _strange(name: bytes) -> Refusal:
    if name == b"origin":
        return Refusal(403, "origin", "No page of a browser may call this.")
    return bad_request("Nobody forwards requests to this address.")


def plain_path(raw: bytes) -> str:
    """The path of a request, whose names need no escapes; `%2F` is taken for a slash.

    Raises:
        Refusal: 404; it has what no address here has: escapes, empty parts, dots, other signs.
    """
    path = raw.replace(b"%2F", b"/").replace(b"%2f", b"/") if b"%" in raw else raw
    if not _PATH.fullmatch(path) or _DOTS.search(path):
        raise not_found()
    return path.decode("ascii")


class Front:
    """The outermost application."""

    def __init__(self, fast: FastTokens, routes: ASGIApp) -> None:
        self.fast = fast
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        sending = Sending(send)
        try:
            examine(scope["headers"], self.fast.hosts)
            scope["path"] = plain_path(scope["raw_path"])
            _bound(scope["headers"])
            await self._routes(scope, receive, sending)
        except Exception as error:  # noqa: BLE001 (the edge)
            refusal = refusal_of(error)
            if refusal.status >= 500:  # noqa: PLR2004
                _tell(error, refusal)
            if not sending.begun:
                await answer(refusal)(scope, receive, send)


class Sending:
    """Notices whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        """Pass it on."""
        self.begun = True
        await self._send(message)


def _bound(headers: list[tuple[bytes, bytes]]) -> None:
    size = sum(len(name) + len(value) for name, value in headers)
    if len(headers) > HEADERS or size > HEADER_BYTES:
        raise too_large()


def _tell(error: Exception, refusal: Refusal) -> None:
    if refusal.reason == "internal":
        _log.error("a request failed", exc_info=error)
    else:
        _log.warning("a request cannot be served now", why=str(getattr(error, "message", "")))
