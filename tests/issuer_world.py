"""What the issuers' tests share: credentials, a plugin context, and a server that misbehaves."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any, NoReturn

from credmgr.errors import ConfigError
from credmgr.model.clock import Clock, SystemClock
from credmgr.model.credential import Credential, Environment, Kind, Place
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.context import PluginContext

ADMIN = "admin-canary-51c2e0"
SCOPES = frozenset({"cases:read", "alerts:read"})


class NoKeys:
    """Data keys, of which issuers want none."""

    def current(self, purpose: str) -> NoReturn:
        raise AssertionError(purpose)

    def by_id(self, purpose: str, key_id: str) -> NoReturn:
        raise AssertionError(purpose, key_id)


@dataclass(frozen=True)
class OneReference:
    """Resolves `env:ADMIN` and nothing else."""

    secret: Secret

    def resolve(self, reference: str) -> Secret:
        if reference != "env:ADMIN":
            raise ConfigError(f"{reference} leads nowhere")
        return self.secret


def a_context(
    *,
    admin: Secret | None = None,
    clock: Clock | None = None,
    deadline: timedelta = timedelta(seconds=5),
    workers: int = 8,
) -> PluginContext:
    return PluginContext(
        name="caseforge",
        home=Path("/nowhere"),
        clock=clock or SystemClock(),
        keys=NoKeys(),
        references=OneReference(admin or Secret(ADMIN)),
        workers=workers,
        deadline=deadline,
    )


def a_credential(kind: Kind, **more: Any) -> Credential:
    settings: dict[str, Any] = {
        "name": Name("caseforge/reporting"),
        "kind": kind,
        "issuer": Name("caseforge"),
        "owner": "team-risk",
        "environment": Environment.STAGING,
        "store": Place(Name("local"), Name("caseforge/reporting")),
        "scopes": SCOPES,
        "client_id": "app_8v3k9m" if kind is Kind.OAUTH_CLIENT else None,
    }
    return Credential(**{**settings, **more})


Behaviour = Callable[["Conversation"], None]


@dataclass
class Conversation:
    """One connection, its request read."""

    sock: socket.socket
    request: bytes
    over: Event

    def send(self, data: bytes) -> None:
        with suppress(OSError):
            self.sock.sendall(data)

    def drip(self, data: bytes, seconds: float) -> None:
        """Send byte by byte, until the test is over."""
        for byte in data:
            if self.over.wait(seconds):
                return
            self.send(bytes([byte]))

    def hang(self) -> None:
        """Say nothing until the test is over."""
        self.over.wait()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def http_answer(
    body: bytes | str,
    *headers: str,
    status: str = "200 OK",
    kind: str = "application/json",
    length: int | None = None,
    keep: bool = False,
) -> bytes:
    raw = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers]
    if not keep:
        lines.append("Connection: close")
    lines.append(f"Content-Length: {len(raw) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


@dataclass
class RawServer:
    """A server on a free port that does to each connection what `behaviour` says."""

    listener: socket.socket
    behaviour: Behaviour
    tls: ssl.SSLContext | None = None
    over: Event = field(default_factory=Event)
    requests: list[bytes] = field(default_factory=list)
    threads: list[Thread] = field(default_factory=list)

    @property
    def url(self) -> str:
        scheme = "https" if self.tls else "http"
        return f"{scheme}://localhost:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        while not self.over.is_set():
            try:
                sock, _address = self.listener.accept()
            except OSError:
                return
            thread = Thread(target=self._talk, args=(sock,))
            self.threads.append(thread)
            thread.start()

    def _talk(self, sock: socket.socket) -> None:
        with suppress(OSError), sock:
            if self.tls is None:
                self._converse(sock)
                return
            with self.tls.wrap_socket(sock, server_side=True) as wrapped:
                self._converse(wrapped)

    def _converse(self, sock: socket.socket) -> None:
        request = _whole_request(sock)
        if request:
            self.requests.append(request)
            self.behaviour(Conversation(sock, request, self.over))


def _whole_request(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65_536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                body += sock.recv(65_536)
    return head + b"\r\n\r\n" + body


@contextmanager
def raw_server(
    behaviour: Behaviour | bytes, tls: ssl.SSLContext | None = None
) -> Iterator[RawServer]:
    """A server that misbehaves; bytes are sent as the whole answer."""
    if isinstance(behaviour, bytes):
        answer = behaviour

        def behaviour(conversation: Conversation) -> None:
            conversation.send(answer)

    with socket.create_server(("localhost", 0)) as listener:
        server = RawServer(listener, behaviour, tls)
        acceptor = Thread(target=server.serve)
        acceptor.start()
        try:
            yield server
        finally:
            server.over.set()
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for thread in server.threads:
                thread.join()
