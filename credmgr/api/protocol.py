"""The connection: uvicorn's protocol with an end to everything that a peer could draw out.

uvicorn bounds neither the size of headers nor how long a request may take to arrive; both are bound
here. Time is counted in beats of about a second, so that a request costs no timer of its own.
"""

import asyncio
import socket
import struct
from collections.abc import Iterable
from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from credmgr.api.limits import CONNECTIONS, HEADER_BYTES, REQUEST, URL_BYTES

BY_UID: Final = "uid"
"""In the place of a host in `scope["client"]`, before the user id of a Unix socket's peer."""
_BEATS: Final = int(REQUEST.total_seconds())
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
    heading = False
    unfinished = 0

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

    def data_received(self, data: bytes) -> None:
        """Take more of a request, up to the size of headers that it may have."""
        if self.heading:
            self.unfinished += len(data)
        super().data_received(data)
        if self.heading and self.unfinished > HEADER_BYTES:
            self._refuse(431)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.since = self.pulse.beat
        self.heading, self.unfinished = True, 0

    def on_headers_complete(self) -> None:
        """Its headers are there.

        Raises:
            ValueError: Its target is no path; answered with 400.
        """
        self.heading = False
        if not self.url.startswith(b"/") or len(self.url) > URL_BYTES:
            raise ValueError("not a path")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """It is there whole."""
        super().on_message_complete()
        self.since = None

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
        return any(self.pulse.beat - one > _BEATS for one in waits)

    def _refuse(self, status: int) -> None:
        if not self.transport.is_closing():
            end = b"content-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + end)
            self.transport.close()


def sweep(connections: Iterable[object]) -> None:
    """One beat: end the connections whose peers let us wait."""
    Guarded.pulse.beat += 1
    for connection in list(connections):
        held = cast(Guarded, connection)
        if held.overdue():
            held.transport.abort()


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
