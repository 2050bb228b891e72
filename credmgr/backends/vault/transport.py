"""Connections that keep one deadline for a whole answer, however slowly it drips."""

import http.client
import io
import socket
import ssl
import time
from functools import partial
from typing import Any, Final

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ResponseError
from urllib3.response import HTTPResponse

MAX_BODY: Final = 4 << 20
"""Longest answer that is read, in bytes; an entry of 1 MiB is the longest that a server stores."""
LONGEST_IDLE: Final = 30.0
"""Seconds after which an idle connection is not used again: below what load balancers allow (60)
and servers do (5 minutes, `http_idle_timeout`), so that none hangs up on a call of ours."""
_QUEUE_SHARE: Final = 0.25
_CONNECT_SHARE: Final = 0.5


class Transport:
    """A pool of connections with one server. Thread-safe; repeats and redirects nothing.

    The deadline covers waiting for a free connection, connecting, sending and the whole answer;
    outside of it are the resolver's own time and further addresses of a host whose first ones do
    not answer. No proxy is taken from the environment.

    Args:
        address: `scheme://host[:port]`.
        size: How many threads call at once.
        deadline: The longest that one call may take, in seconds.
        tls: What to trust, and which certificate to show.
    """

    def __init__(self, address: str, size: int, deadline: float, tls: ssl.SSLContext) -> None:
        self._address = address.rstrip("/")
        self._deadline = deadline
        self._pool = PoolManager(maxsize=size, block=True, retries=False, ssl_context=tls)
        self._pool.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}

    def send(
        self, method: str, path: str, headers: dict[str, str], body: str | None
    ) -> tuple[BaseHTTPResponse, bytes]:
        """The answer and its body.

        Raises:
            urllib3.exceptions.HTTPError: There was none, or not within the deadline.
        """
        share = self._deadline * (1 - _QUEUE_SHARE)
        response = self._pool.urlopen(
            method,
            f"{self._address}{path}",
            body=body,
            headers=headers,
            redirect=False,
            preload_content=False,
            decode_content=False,
            timeout=Timeout(total=share, connect=share * _CONNECT_SHARE),
            pool_timeout=self._deadline * _QUEUE_SHARE,
        )
        try:
            return response, _read(response)
        finally:
            response.close()
            response.release_conn()

    def close(self) -> None:
        """Close idle connections; may be repeated."""
        self._pool.clear()


def _read(response: BaseHTTPResponse) -> bytes:
    body = bytearray()
    while part := response.read(MAX_BODY + 1 - len(body)):
        body += part
        if len(body) > MAX_BODY:
            raise ResponseError("the answer is too long")
    return bytes(body)


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until a moment; a plain socket timeout begins anew with every byte."""

    def __init__(self, inner: io.RawIOBase, sock: socket.socket, ends: float) -> None:
        self._inner = inner
        self._sock = sock
        self._ends = ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._sock.settimeout(left)
        return self._inner.readinto(buffer)

    def close(self) -> None:
        self._inner.close()
        super().close()


class _BoundedAnswer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, ends: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        reader: io.RawIOBase = self.fp.detach()
        self.fp = io.BufferedReader(_DeadlineReader(reader, sock, ends))


class _PlainConnection(HTTPConnection):
    _used_at = 0.0

    @property
    def is_connected(self) -> bool:
        fresh = time.monotonic() - self._used_at < LONGEST_IDLE
        return fresh and super().is_connected

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3's own
        # The socket knows real time only, so the end does not come from the injected clock.
        self._used_at = time.monotonic()
        ends = self._used_at + (self.timeout or 0)
        self.response_class = partial(_BoundedAnswer, ends=ends)  # type: ignore[assignment]
        return super().getresponse()


class _TlsConnection(_PlainConnection, HTTPSConnection):
    """The same over TLS."""


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection
