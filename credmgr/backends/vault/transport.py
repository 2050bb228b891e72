"""The connections with one server."""

import ssl
from typing import Final

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ResponseError

from credmgr.plugins.clocks import ServerClock
from credmgr.transport import BoundedPool, Bounds

MAX_BODY: Final = 4 << 20
"""Longest answer that is read, in bytes; an entry of 1 MiB is the longest that a server stores."""
LONGEST_IDLE: Final = 30.0
"""Seconds after which an idle connection is not used again: below what load balancers allow (60)
and servers do (5 minutes, `http_idle_timeout`), so that none hangs up on a call of ours."""
_WAITING: Final = 0.25
_CONNECTING: Final = 0.375


class Transport:
    """A pool of connections with one server. Thread-safe; repeats and redirects nothing.

    Args:
        address: `scheme://host[:port]`.
        size: How many threads call at once.
        deadline: The longest that one call may take, in seconds.
        tls: What to trust, and which certificate to show.
        server: Hears the time of each answer.
    """

    def __init__(
        self,
        address: str,
        size: int,
        deadline: float,
        tls: ssl.SSLContext,
        server: ServerClock,
    ) -> None:
        self.server = server
        self._address = address.rstrip("/")
        bounds = Bounds(deadline, _WAITING, _CONNECTING, LONGEST_IDLE, MAX_BODY)
        self._pool = BoundedPool(size, tls, bounds)

    def send(
        self, method: str, path: str, headers: dict[str, str], body: str | None
    ) -> tuple[BaseHTTPResponse, bytes]:
        """The answer and its body.

        Raises:
            urllib3.exceptions.HTTPError: There was none, or not within the deadline.
        """
        response, answer = self._pool.send(method, f"{self._address}{path}", headers, body)
        self.server.heard(response.headers.get("date"))
        if len(answer) > MAX_BODY:
            raise ResponseError("the answer is too long")
        return response, answer

    def close(self) -> None:
        """Close idle connections; may be repeated."""
        self._pool.close()
