"""The connection: uvicorn's protocol with an end to everything that a peer could draw out.

uvicorn bounds neither the size of headers and trailers, nor how long a request may take to arrive,
nor how many may be sent before the first is answered; all are bound here. Time is counted in beats
of about a second, so that a request costs no timer of its own.
"""

import asyncio
import socket
import struct
from collections.abc import Iterable
from typing import Any, Final, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from credmgr.api.fast import PATH, FastTokens
from credmgr.api.limits import CONNECTIONS, HEADER_BYTES, IDLE, PIPELINE, REQUEST, URL_BYTES
from credmgr.api.problems import Refusal, answer, bad_request, too_large

BY_UID: Final = "uid"
"""In the place of a host in `scope["client"]`, before the user id of a Unix socket's peer."""
VERSIONS: Final = frozenset({"1.0", "1.1"})
_BEATS: Final = int(REQUEST.total_seconds())
_IDLE_BEATS: Final = int(IDLE.total_seconds())
_CREDENTIALS: Final = struct.Struct("iII")


class Pulse:
    """Counts beats for all connections of a server."""

    beat = 0


class Guarded(HttpToolsProtocol):
    """One connection, bounded in time and size."""

    pulse = Pulse()
    since: int | None = None
    """The beat in which a request began to arrive; None while none is awaited."""
    stuck: int | None = None
    """The beat in which the peer stopped taking our answers."""
    idle: int | None = None
    """The beat in which the last request was answered at once; uvicorn has a timer for others."""
    at_once = False
    """Whether this request was answered before it was made known to uvicorn."""
    answering: RequestResponseCycle | None = None
    """The request that is being answered; uvicorn's `cycle` is the one that came last."""
    heading = False
    unfinished = 0

    def __init__(self, *args: Any, fast: FastTokens, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fast = fast

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, unless too many are in."""
        super().connection_made(transport)
        self.since = self.pulse.beat
        if len(self.connections) > CONNECTIONS:
            transport.abort()
            return
        uid = peer_uid(transport.get_extra_info("socket"))
        if uid is not None:
            self.client = (BY_UID, uid)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._unheard()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take more of a request, never much more at once than its headers may have."""
        if len(data) <= HEADER_BYTES:
            self._take(data)
            return
        for start in range(0, len(data), HEADER_BYTES):
            self._take(data[start : start + HEADER_BYTES])
            if self.transport.is_closing():
                return

    def _take(self, data: bytes) -> None:
        if self.heading:
            self.unfinished += len(data)
        super().data_received(data)
        if self.heading and self.unfinished > HEADER_BYTES:
            self._refuse(too_large())

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.since, self.idle = self.pulse.beat, None
        self.heading, self.unfinished = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers; what comes after the body has no meaning here and is not kept."""
        if self.heading:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its headers are there.

        Raises:
            ValueError: Its target is no path, its version none of ours, or too many requests
                wait for their turn; answered with 400.
        """
        self.heading = False
        if len(self.pipeline) >= PIPELINE:
            raise ValueError("too many requests at once")
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            raise ValueError("not of this version of HTTP")
        if not self.url.startswith(b"/") or len(self.url) > URL_BYTES:
            raise ValueError("not a path")
        self.at_once = version == "1.1" and self.url.startswith(PATH) and self._at_once()
        if not self.at_once:
            super().on_headers_complete()

    def _at_once(self) -> bool:
        """Answer a request that needs nobody, if it is one and its turn has come."""
        parser, last = self.parser, self.answering
        if parser.get_method() != b"GET" or not parser.should_keep_alive():
            return False
        if self.flow.write_paused or (last is not None and not last.response_complete):
            return False
        answer = self.fast.answer(self.headers, self.url, self.client)
        if answer is None:
            return False
        self.transport.write(answer)
        return True

    def on_message_complete(self) -> None:
        """It is there whole."""
        self.since = None
        if self.at_once:
            self.idle = self.pulse.beat
        else:
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """It is answered; no more is read while others wait for their turn."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, in the form of every other refusal."""
        del msg
        self._refuse(bad_request("This is no HTTP request that can be served."))

    def pause_writing(self) -> None:
        """The peer takes our answers too slowly."""
        super().pause_writing()
        self.stuck = self.pulse.beat

    def resume_writing(self) -> None:
        """The peer takes them again."""
        super().resume_writing()
        self.stuck = None

    def overdue(self) -> bool:
        """Whether the peer has drawn something out for too long."""
        waits = (one for one in (self.since, self.stuck) if one is not None)
        if any(self.pulse.beat - one > _BEATS for one in waits):
            return True
        return self.idle is not None and self.pulse.beat - self.idle > _IDLE_BEATS

    def cut(self) -> None:
        """End it at once."""
        self._unheard()
        self.transport.abort()

    def _refuse(self, refusal: Refusal) -> None:
        if not self.transport.is_closing():
            self._unheard()
            self.transport.write(last_words(refusal))
            self.transport.close()

    def _unheard(self) -> None:
        """Whoever still makes an answer writes it to nobody, rather than to a closed socket."""
        for cycle in (self.answering, self.cycle):
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()


def last_words(refusal: Refusal) -> bytes:
    """A refusal as it goes over the wire, before the connection ends."""
    response = answer(refusal)
    headers = [*response.raw_headers, (b"connection", b"close")]
    head = b"".join(b"%b: %b\r\n" % header for header in headers)
    return STATUS_LINE[refusal.status] + head + b"\r\n" + bytes(response.body)


def sweep(connections: Iterable[object]) -> None:
    """One beat: end the connections whose peers let us wait."""
    Guarded.pulse.beat += 1
    for connection in list(connections):
        held = cast(Guarded, connection)
        if held.overdue():
            held.cut()


def peer_uid(connected: socket.socket | None) -> int | None:
    """The user id at the other end of a Unix socket, as the kernel says (unix(7), SO_PEERCRED)."""
    if connected is None or connected.family != socket.AF_UNIX:
        return None
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    raw = connected.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    return int(uid)
