"""The other end of channels: what speaks HTTP hears everything and can be in trouble; a log."""

import io
import logging
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import structlog

from credmgr.errors import ConfigError
from credmgr.logs import configure
from credmgr.model.clock import Clock, SystemClock
from credmgr.model.secret import Secret
from credmgr.plugins.context import PluginContext
from credmgr.testing import Received

LONG_ENOUGH = 60.0


class NoKeys:
    def current(self, purpose: str) -> tuple[str, bytes]:
        raise AssertionError(purpose)

    def by_id(self, purpose: str, key_id: str) -> bytes:
        raise AssertionError(purpose, key_id)


@dataclass(frozen=True)
class Known:
    """Resolves `env:SECRET`."""

    secret: str = ""

    def resolve(self, reference: str) -> Secret:
        if reference != "env:SECRET" or not self.secret:
            raise ConfigError(f"{reference}: not set")
        return Secret(self.secret)


def channel_context(
    secret: str = "",
    home: Path = Path("/nowhere"),
    clock: Clock | None = None,
    deadline: timedelta = timedelta(seconds=10),
) -> PluginContext:
    return PluginContext("x", home, clock or SystemClock(), NoKeys(), Known(secret), 8, deadline)


class Server(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True


@dataclass
class Sink:
    """An HTTP server on loopback.

    Attributes:
        heard: Headers and body of every request, oldest first.
        status: What it answers.
        headers: With the answer.
        silent: Whether it hangs up without an answer.
        held: It answers when this is set.
        floods: Whether its answer never ends.
    """

    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    floods: bool = False
    held: Event | None = None
    port: int = 0
    tls: ssl.SSLContext | None = None
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sink.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        if self.tls is not None:
            self.server.socket = self.tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        serve, soon = self.server.serve_forever, {"poll_interval": 0.01}
        Thread(target=serve, kwargs=soon, daemon=True).start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        if self.held is not None:
            self.held.wait(LONG_ENOUGH)
            return
        self.heard.append((dict(request.headers.items()), body))
        if self.silent:
            request.connection.close()
            return
        request.send_response(self.status)
        for name, value in self.headers.items():
            request.send_header(name, value)
        if self.floods:
            request.end_headers()
            self.flood(request)
        else:
            request.send_header("Content-Length", "2")
            request.end_headers()
            request.wfile.write(b"{}")

    def flood(self, request: BaseHTTPRequestHandler) -> None:
        try:
            for _ in range(10_000):
                request.wfile.write(b"x" * 65_536)
        except OSError:
            self.headers["hung-up"] = "yes"

    def received(self) -> Sequence[Received]:
        return [Received(headers, body.decode()) for headers, body in list(self.heard)]

    @contextmanager
    def down(self) -> Iterator[None]:
        self.stop()
        yield
        self.start()

    @contextmanager
    def failing(self) -> Iterator[None]:
        self.status = 503
        yield
        self.status = 200

    @contextmanager
    def unheard(self) -> Iterator[None]:
        self.silent = True
        yield
        self.silent = False

    @contextmanager
    def slow(self) -> Iterator[None]:
        self.held = Event()
        yield
        self.held.set()
        self.held = None


@contextmanager
def http_sink(tls: ssl.SSLContext | None = None) -> Iterator[Sink]:
    sink = Sink(tls=tls)
    sink.start()
    try:
        yield sink
    finally:
        sink.stop()


@contextmanager
def logging_to(stream: io.StringIO) -> Iterator[None]:
    """The process's log as the daemon has it, and as it was before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure("INFO", "json", stream)
    try:
        yield
    finally:
        structlog.reset_defaults()
        root.handlers[:], root.level = handlers, level
