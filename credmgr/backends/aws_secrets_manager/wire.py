"""The way out for every client of a session: bounded in time and number, never repeated, no proxy.

botocore's own HTTP session bounds each read but not an answer, never waits for a free connection,
takes proxies and certificates from the environment, and logs what it meets. Its event `before-send`
takes an answer from elsewhere instead (botocore/endpoint.py, `_do_get_response`); this gives it.
"""

import http.client
import io
import json
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    EmptyPoolError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.response import HTTPResponse
from urllib3.util import parse_url

from credmgr.errors import BackendUnavailable, ConfigError

MAX_BODY: Final = 1 << 20
"""Longest answer that is read, in bytes; a secret of 65,536 is the longest real one."""
LONGEST_IDLE: Final = 3.0
"""Seconds after which an idle connection is not used again: middleboxes forget connections without
a word, and a request that meets that could not be told from one that was applied."""
_QUEUE_SHARE: Final = 0.1
_CONNECT_SHARE: Final = 0.4


class Wire:
    """Sends what botocore has signed. Thread-safe.

    Args:
        workers: Most connections to one host.
        deadline: The longest that one call may take in all: waiting for a free connection,
            connecting, sending, and the whole answer however slowly it drips. The resolver's own
            time is outside of it.
        ca_bundle: PEM file of the authorities to trust instead of the system's.

    Raises:
        ConfigError: The bundle cannot be read.
    """

    def __init__(self, workers: int, deadline: timedelta, ca_bundle: Path | None) -> None:
        self._deadline = deadline.total_seconds()
        try:
            tls = ssl.create_default_context(cafile=ca_bundle)
        except OSError as error:
            raise ConfigError(f"the CA bundle {ca_bundle} cannot be used: {error}") from error
        self._pool = PoolManager(maxsize=workers, block=True, retries=False, ssl_context=tls)
        self._pool.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}

    def send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """Handle botocore's event `before-send`.

        Raises:
            BackendUnavailable: No whole answer; the message says whether the call may have been
                applied.
        """
        # Raised outside of `except`: urllib3's errors carry the request, and it the secret.
        try:
            answer = self._transfer(request)
        except HTTPError as error:
            problem = _reason(error)
        else:
            if _is_of_aws(answer):
                return answer
            problem = f"answered {answer.status_code} in no form of AWS's, as a proxy would"
        raise BackendUnavailable(f"{parse_url(request.url).host}: {problem}")

    def close(self) -> None:
        """Close idle connections; may be repeated."""
        self._pool.clear()

    def _transfer(self, request: AWSPreparedRequest) -> AWSResponse:
        ends = self._deadline * (1 - _QUEUE_SHARE)
        response = self._pool.urlopen(
            request.method,
            request.url,
            body=request.body,
            headers=dict(request.headers.items()),
            redirect=False,
            preload_content=False,
            decode_content=False,
            timeout=Timeout(total=ends, connect=self._deadline * _CONNECT_SHARE),
            pool_timeout=self._deadline * _QUEUE_SHARE,
        )
        try:
            body = response.read(MAX_BODY)
        finally:
            response.close()
            response.release_conn()
        headers: Any = response.headers
        return AWSResponse(request.url, response.status, headers, _Read(body))


class _Read:
    """A body that is read already, in the shape that `AWSResponse` wants."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._body


def _is_of_aws(answer: AWSResponse) -> bool:
    """Whether botocore can read it: it takes what is no JSON for an answer without content."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip()
    if kind.endswith("xml"):
        return True
    if "json" not in kind:
        return False
    try:
        return isinstance(json.loads(answer.content), dict)
    except (ValueError, RecursionError):
        return False


def _reason(error: HTTPError) -> str:
    match error:
        case EmptyPoolError():
            return "not sent, every connection was busy"
        case ConnectTimeoutError() | NewConnectionError():
            return "no connection"
        case SSLError(args=(ssl.SSLCertVerificationError(verify_message=str() as why), *_)):
            return f"the certificate is not trusted ({why}; ca_bundle can name its authority)"
        case SSLError():
            return "TLS failed"
        case ReadTimeoutError():
            return "no whole answer within the deadline; the call may have been applied"
        case _:
            return "the connection broke; the call may have been applied"


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
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock, ends))


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
