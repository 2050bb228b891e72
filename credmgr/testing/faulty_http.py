"""An HTTP server on loopback in which anything can go wrong on the way to an answer and back."""

import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, Final, NamedTuple

from credmgr.testing.faults import Fault, Harm

_LONGEST_HANG: Final = 60.0
_BETWEEN_BYTES: Final = 0.05


class Reply(NamedTuple):
    """An answer.

    Attributes:
        status: HTTP status.
        headers: Besides the length.
        content: The body.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


class FaultyServer(ThreadingHTTPServer):
    """A thread for each connection, TLS where wanted, and an end that waits for nobody.

    Args:
        handler: What answers.
        port: 0 takes a free one.
        tls: With what to encrypt; None for plain HTTP.
    """

    daemon_threads = True
    block_on_close = True
    request_queue_size = 128

    def __init__(
        self, handler: type["FaultyHandler"], *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._closing = Event()
        super().__init__(("127.0.0.1", port), handler)
        self._thread = Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def begin(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def end(self) -> None:
        """Stop listening, and hang up on everybody."""
        self._closing.set()
        self.shutdown()
        self.drop_connections()
        self.server_close()
        self._thread.join()

    def hang(self) -> None:
        """Wait until nobody can be waiting any more."""
        self._closing.wait(_LONGEST_HANG)

    def pause(self, seconds: float) -> bool:
        """Wait a little; True when the server is closing."""
        return self._closing.wait(seconds)

    def drop_connections(self) -> None:
        """Hang up on everybody."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection; its handshake is the business of its own thread."""
        connection, address = self.socket.accept()
        if self._tls is not None:
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up, or does not trust us, is no error of the server's."""


class FaultyHandler(BaseHTTPRequestHandler):
    """Answers one connection; a subclass says what, and which fault comes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultyServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name upstream)
        """Nothing is logged."""

    def do_GET(self) -> None:
        """Answer a request; the other methods are the same."""
        self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    do_PUT = do_PATCH = do_DELETE = do_POST = do_LIST = do_GET  # noqa: N815 (http.server's names)

    def answer(self, body: bytes) -> None:
        """Answer the request with this body: a subclass calls `send` or `serve`."""
        raise NotImplementedError

    def refusal(self, fault: Fault) -> Reply:
        """What an `ANSWER` says, as a gateway does; a subclass may say it as its server does."""
        return Reply(fault.status, {"Content-Type": "text/html"}, fault.body)

    def serve(self, fault: Fault | None, apply: Callable[[], Reply]) -> None:
        """Do what is asked, with the fault on the way if there is one."""
        match fault.harm if fault else None:
            case None:
                self.send(apply())
            case Harm.RESET:
                self._reset()
            case Harm.HANG:
                self._hang()
            case Harm.TWICE:
                apply()
                self.send(apply())
            case _:
                assert fault is not None
                self._spoil(fault, apply)

    def send(self, reply: Reply) -> None:
        """Send a whole answer."""
        self._head(reply)
        self.wfile.write(reply.content)

    def _spoil(self, fault: Fault, apply: Callable[[], Reply]) -> None:
        if fault.harm is Harm.ANSWER:
            said = self.refusal(fault)
            self.send(said._replace(headers={**said.headers, **fault.headers}))
            return
        reply = apply()
        match fault.harm:
            case Harm.LOST:
                self.close_connection = True
            case Harm.APPLIED_HANG:
                self._hang()
            case Harm.DRIP:
                self._drip(reply)
            case Harm.NONSENSE:
                self.send(Reply(HTTPStatus.OK, reply.headers, fault.body))
            case _:
                self._half(reply)
                if fault.harm is Harm.CUT:
                    self._reset()

    def _half(self, reply: Reply) -> None:
        self.close_connection = True
        if reply.content:  # a head alone would be the whole answer
            self._head(reply)
            self.wfile.write(reply.content[: len(reply.content) // 2])

    def _drip(self, reply: Reply) -> None:
        self._head(reply)
        for byte in reply.content:
            self.wfile.write(bytes([byte]))
            if self.server.pause(_BETWEEN_BYTES):
                break

    def _head(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(reply.content)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _hang(self) -> None:
        self.server.hang()
        self.close_connection = True

    def _reset(self) -> None:
        # SO_LINGER with no time: closing sends RST
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
