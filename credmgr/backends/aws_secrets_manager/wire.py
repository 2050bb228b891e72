"""The way out for every client of a session: bounded in time and number, never repeated, no proxy.

botocore's own HTTP session bounds each read but not an answer, never waits for a free connection,
takes proxies and certificates from the environment, and logs what it meets. Its event `before-send`
takes an answer from elsewhere instead (botocore/endpoint.py, `_do_get_response`); this gives it.
"""

import json
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from urllib3.exceptions import (
    ConnectTimeoutError,
    EmptyPoolError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import parse_url

from credmgr.backends.aws_secrets_manager.lasting import elapsed
from credmgr.errors import BackendUnavailable, ConfigError
from credmgr.plugins.clocks import ServerClock
from credmgr.transport import BoundedPool, Bounds

MAX_BODY: Final = 1 << 20
"""Longest answer that is read, in bytes; a secret of 65,536 is the longest real one."""
LONGEST_IDLE: Final = 3.0
"""Seconds after which an idle connection is not used again: middleboxes forget connections without
a word, and a request that meets that could not be told from one that was applied."""
_WAITING: Final = 0.1
_CONNECTING: Final = 0.4


class Wire:
    """Sends what botocore has signed. Thread-safe.

    Args:
        workers: Most connections to one host.
        deadline: The longest that one call may take in all, a sign-in ahead of it included.
        ca_bundle: PEM file of the authorities to trust instead of the system's.
        server: Hears the time of each answer.

    Raises:
        ConfigError: The bundle cannot be read.
    """

    def __init__(
        self,
        workers: int,
        deadline: timedelta,
        ca_bundle: Path | None,
        server: ServerClock,
    ) -> None:
        self._server = server
        self._deadline = deadline
        try:
            tls = ssl.create_default_context(cafile=ca_bundle)
        except OSError as error:
            raise ConfigError(f"the CA bundle {ca_bundle} cannot be used: {error}") from error
        seconds = deadline.total_seconds()
        bounds = Bounds(seconds, _WAITING, _CONNECTING, LONGEST_IDLE, MAX_BODY)
        self._pool = BoundedPool(workers, tls, bounds)

    def send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """Handle botocore's event `before-send`.

        Raises:
            BackendUnavailable: No whole answer; the message says whether the call may have been
                applied.
        """
        left = (self._deadline - elapsed()).total_seconds()
        if left <= 0:
            raise BackendUnavailable("not sent, nothing is left of the deadline")
        # Raised outside of `except`: urllib3's errors carry the request, and it the secret.
        wait: timedelta | None = None
        try:
            answer = self._transfer(request, left)
        except HTTPError as error:
            problem = _reason(error)
        else:
            self._server.heard(answer.headers.get("date"))
            if _is_of_aws(answer):
                return answer
            wait = self._server.asked(answer.headers.get("retry-after"))
            problem = f"answered {answer.status_code} in no form of AWS's, as a proxy would"
        host = parse_url(request.url).host
        raise BackendUnavailable(f"{host}: {problem}", retry_after=wait)

    def close(self) -> None:
        """Close idle connections; may be repeated."""
        self._pool.close()

    def _transfer(self, request: AWSPreparedRequest, left: float) -> AWSResponse:
        sent = dict(request.headers.items())
        response, body = self._pool.send(request.method, request.url, sent, request.body, left)
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
