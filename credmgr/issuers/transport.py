"""Connections that keep one deadline for a whole answer and tell "never sent" from "lost"."""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.response import HTTPResponse

LONGEST_IDLE: Final = 3.0
"""Seconds after which an idle connection is not used again. Servers hang up after 5 s and more
(uvicorn, Node.js) and middleboxes forget connections without a word; a request that meets either
could not be told from one that was applied."""


def pool_of(size: int, tls: ssl.SSLContext) -> PoolManager:
    """A pool of at most `size` connections for each host, which never repeats or redirects a call.

    Whatever fails before the request was sent is a `ConnectTimeoutError`, whatever fails later is
    another `urllib3.exceptions.HTTPError`. The read timeout of a call bounds its whole answer,
    headers and body, however slowly they drip. No proxy is ever taken from the environment.
    """
    pool = PoolManager(maxsize=size, block=True, retries=False, ssl_context=tls)
    pool.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
    return pool


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


@contextmanager
def _never_sent(connection: HTTPConnection) -> Iterator[None]:
    """Whatever goes wrong in here went wrong before the request."""
    try:
        yield
    except ConnectTimeoutError:
        raise
    except (HTTPError, OSError) as error:
        raise NewConnectionError(connection, str(error)) from error


class _PlainConnection(HTTPConnection):
    _used_at = 0.0

    @property
    def is_connected(self) -> bool:
        fresh = time.monotonic() - self._used_at < LONGEST_IDLE
        return fresh and super().is_connected

    def connect(self) -> None:
        with _never_sent(self):
            super().connect()

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3's own
        # The socket knows real time only, so the end does not come from the injected clock.
        self._used_at = time.monotonic()
        ends = self._used_at + (self.timeout or 0)
        self.response_class = partial(_BoundedAnswer, ends=ends)  # type: ignore[assignment]
        return super().getresponse()


class _TlsConnection(_PlainConnection, HTTPSConnection):
    """The same over TLS: `connect` above goes on to that of `HTTPSConnection`."""


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection
