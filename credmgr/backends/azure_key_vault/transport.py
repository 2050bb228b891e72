"""The SDK's connections: a pool of our size, and one deadline for a whole call.

The deadline is the caller's, whatever the SDK does within it: discovery of the tenant, a token,
the request itself. It bounds headers and body however slowly they drip.
"""

import http.client
import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from typing import Any, Final

import requests
from azure.core.exceptions import ServiceRequestTimeoutError
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPSConnection
from urllib3.response import HTTPResponse

_CONNECT_SHARE: Final = 0.3
_ENDS: Final[ContextVar[float]] = ContextVar("_ENDS")


@contextmanager
def within(deadline: timedelta) -> Iterator[None]:
    """Let every call in this block end within `deadline`, together."""
    token = _ENDS.set(time.monotonic() + deadline.total_seconds())
    try:
        yield
    finally:
        _ENDS.reset(token)


class BoundedTransport(RequestsTransport):  # type: ignore[misc] # the SDK loads it lazily
    """What the SDK sends by. Proxies and `.netrc` of the environment are not looked at.

    Args:
        workers: Connections that are kept to one host.
        ca_bundle: PEM file of authorities; None takes certifi's.
    """

    def __init__(self, workers: int, ca_bundle: str | None) -> None:
        self._workers = workers
        super().__init__(connection_verify=ca_bundle or True, use_env_settings=False)

    def _init_session(self, session: requests.Session) -> None:
        session.trust_env = False
        session.mount("https://", _Adapter(pool_maxsize=self._workers, max_retries=0))

    def send(self, request: Any, *, proxies: Any = None, **kwargs: Any) -> Any:
        """Send within what is left of the deadline.

        Raises:
            ServiceRequestTimeoutError: Nothing is left; nothing was sent.
        """
        left = _ENDS.get() - time.monotonic()
        if left <= 0:
            raise ServiceRequestTimeoutError("no time is left")
        kwargs["connection_timeout"] = left * _CONNECT_SHARE
        kwargs["read_timeout"] = left * (1 - _CONNECT_SHARE)
        return super().send(request, proxies=proxies, **kwargs)


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


class _Connection(HTTPSConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3's own
        ends = time.monotonic() + (self.timeout or 0)
        self.response_class = partial(_BoundedAnswer, ends=ends)  # type: ignore[assignment]
        return super().getresponse()


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        classes = {"http": HTTPConnectionPool, "https": _Pool}
        self.poolmanager.pool_classes_by_scheme = classes
