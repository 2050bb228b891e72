"""Connections that keep one deadline for a whole answer, however slowly it drips."""

import http.client
import io
import math
import socket
import ssl
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a call may take, and how long its answer may be.

    Attributes:
        deadline: The longest that one call may take, in seconds: waiting for a free connection,
            connecting, sending and the whole answer. Outside of it are the resolver's own time and
            further addresses of a host whose first ones do not answer.
        waiting: Its share for waiting until a connection is free.
        connecting: Its share for connecting.
        idle: Seconds after which an idle connection is not used again.
        body: Longest answer that is accepted, in bytes.
    """

    deadline: float
    waiting: float
    connecting: float
    idle: float
    body: int


class BoundedConnection(HTTPConnection):
    """Its read timeout bounds the whole answer, headers and body; it is not used after `idle`."""

    def __init__(self, *args: Any, idle: float = math.inf, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle = idle
        self._used_at = 0.0

    @property
    def is_connected(self) -> bool:
        """Whether it can be used again."""
        fresh = time.monotonic() - self._used_at < self._idle
        return fresh and super().is_connected

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3's own
        """The answer; reading it may raise `TimeoutError`."""
        # The socket knows real time only, so the end does not come from the injected clock.
        self._used_at = time.monotonic()
        ends = self._used_at + (self.timeout or 0)
        self.response_class = partial(_BoundedAnswer, ends=ends)  # type: ignore[assignment]
        return super().getresponse()


class BoundedTlsConnection(BoundedConnection, HTTPSConnection):
    """The same over TLS."""


class BoundedPool:
    """Connections to any number of hosts. Thread-safe; repeats and redirects nothing.

    No proxy is ever taken from the environment.

    Args:
        size: Most connections to one host: how many threads call at once.
        tls: What to trust, and which certificate to show.
        bounds: Of every call.
        plain: Connections to `http://`.
        secure: Connections to `https://`.
    """

    def __init__(
        self,
        size: int,
        tls: ssl.SSLContext,
        bounds: Bounds,
        plain: type[BoundedConnection] = BoundedConnection,
        secure: type[BoundedTlsConnection] = BoundedTlsConnection,
    ) -> None:
        self._bounds = bounds
        self._pools = PoolManager(maxsize=size, block=True, retries=False, ssl_context=tls)
        self._pools.pool_classes_by_scheme = pool_kinds(bounds.idle, plain, secure)

    def send(
        self, method: str, url: str, headers: dict[str, str], body: Any, left: float = math.inf
    ) -> tuple[BaseHTTPResponse, bytes]:
        """The answer and its body, of which one byte more is read than is accepted.

        `left` are the seconds that are left of a deadline which began before.

        Raises:
            urllib3.exceptions.HTTPError: There was none, or not within the deadline.
        """
        deadline = min(left, self._bounds.deadline)
        response = self._pools.urlopen(
            method,
            url,
            body=body,
            headers=headers,
            redirect=False,
            preload_content=False,
            decode_content=False,
            timeout=Timeout(
                total=deadline * (1 - self._bounds.waiting),
                connect=deadline * self._bounds.connecting,
            ),
            pool_timeout=deadline * self._bounds.waiting,
        )
        try:
            return response, _read(response, self._bounds.body + 1)
        finally:
            response.close()
            response.release_conn()

    def close(self) -> None:
        """Close idle connections; may be repeated."""
        self._pools.clear()


def pool_kinds(
    idle: float = math.inf,
    plain: type[BoundedConnection] = BoundedConnection,
    secure: type[BoundedTlsConnection] = BoundedTlsConnection,
) -> dict[str, Any]:
    """What makes a pool of bounded connections: a `PoolManager.pool_classes_by_scheme`."""
    return {
        "http": partial(_pool, HTTPConnectionPool, plain, idle=idle),
        "https": partial(_pool, HTTPSConnectionPool, secure, idle=idle),
    }


def _pool(
    kind: type[HTTPConnectionPool], connections: Any, *args: Any, **kwargs: Any
) -> HTTPConnectionPool:
    pool = kind(*args, **kwargs)
    pool.ConnectionCls = connections
    return pool


def _read(response: BaseHTTPResponse, most: int) -> bytes:
    body = bytearray()
    while len(body) < most and (part := response.read(most - len(body))):
        body += part
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
