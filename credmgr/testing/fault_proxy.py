"""A proxy in front of a real server, in which anything can go wrong on the way there and back.

    with FaultProxy("http://127.0.0.1:8200") as proxy:
        backend = factory.open(MyOptions(proxy.url), context)
        proxy.faults.add(Fault(Harm.LOST, method="PUT"))

It speaks HTTP, with TLS on both sides or on none.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPMessage, HTTPSConnection
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from credmgr.testing.faults import Faults
from credmgr.testing.faulty_http import FaultyHandler, FaultyServer, Reply

_PATIENCE_SECONDS: Final = 30
_PER_CONNECTION: Final = frozenset(
    {"connection", "content-length", "keep-alive", "transfer-encoding", "server", "date"}
)
"""Headers that are not passed on (RFC 9110 §7.6.1), and those that our server writes itself."""


class FaultProxy:
    """A proxy on loopback.

    Args:
        target: The server's `scheme://host:port`.
        trust: PEM file of the authority of a target with TLS.
        certificate: PEM file of the certificate and key that the proxy shows, for a target with
            TLS.

    Attributes:
        url: Where it listens, with the target's host name.
        faults: What goes wrong next.
        calls: Method and path of every request, oldest first; those with a fault too.
    """

    def __init__(
        self, target: str, *, trust: Path | None = None, certificate: Path | None = None
    ) -> None:
        self._target = urlsplit(target)
        self._trust = ssl.create_default_context(cafile=trust) if trust else None
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self.faults = Faults()
        self.calls: list[tuple[str, str]] = []
        self._port = 0

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.end()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self._target.scheme}://{self._target.hostname}:{self._port}"

    @contextmanager
    def down(self) -> Iterator[None]:
        """Refuse connections for the length of a block, and hang up on everybody."""
        self._server.end()
        try:
            yield
        finally:
            self._listen()

    def drop_connections(self) -> None:
        """Hang up on everybody."""
        self._server.drop_connections()

    def forward(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The target's own answer."""
        connection = self._connection()
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return Reply(answer.status, _passed(answer.headers), answer.read())
        finally:
            connection.close()

    def _listen(self) -> None:
        self._server = _Server(self, self._port, self._tls)
        self._port = self._server.server_port
        self._server.begin()

    def _connection(self) -> HTTPConnection:
        host, port = self._target.hostname or "", self._target.port
        if self._trust is None:
            return HTTPConnection(host, port, timeout=_PATIENCE_SECONDS)
        return HTTPSConnection(host, port, timeout=_PATIENCE_SECONDS, context=self._trust)


class _Server(FaultyServer):
    def __init__(self, proxy: FaultProxy, port: int, tls: ssl.SSLContext | None) -> None:
        self.proxy = proxy
        super().__init__(_Handler, port=port, tls=tls)


class _Handler(FaultyHandler):
    server: _Server

    def answer(self, body: bytes) -> None:
        """Pass the request on, with the fault that is next."""
        proxy = self.server.proxy
        proxy.calls.append((self.command, self.path))
        given = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
        self.serve(
            proxy.faults.next(self.command, self.path),
            partial(proxy.forward, self.command, self.path, given, body),
        )


def _passed(headers: HTTPMessage) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _PER_CONNECTION}
