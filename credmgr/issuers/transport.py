"""Connections that tell "never sent" from "lost"."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from credmgr.transport import BoundedConnection, BoundedPool, BoundedTlsConnection, Bounds

LONGEST_IDLE: Final = 3.0
"""Seconds after which an idle connection is not used again. Servers hang up after 5 s and more
(uvicorn, Node.js) and middleboxes forget connections without a word; a request that meets either
could not be told from one that was applied."""
_WAITING: Final = 0.1
_CONNECTING: Final = 0.45


def pool_of(size: int, deadline: float, tls: ssl.SSLContext, longest: int) -> BoundedPool:
    """A pool of at most `size` connections for each host.

    Whatever fails before the request was sent is a `ConnectTimeoutError`, whatever fails later is
    another `urllib3.exceptions.HTTPError`.

    Args:
        size: How many threads call at once.
        deadline: The longest that one call may take, in seconds.
        tls: What to trust.
        longest: Longest answer that is accepted, in bytes.
    """
    bounds = Bounds(deadline, _WAITING, _CONNECTING, LONGEST_IDLE, longest)
    return BoundedPool(size, tls, bounds, _PlainConnection, _TlsConnection)


@contextmanager
def _never_sent(connection: HTTPConnection) -> Iterator[None]:
    """Whatever goes wrong in here went wrong before the request."""
    try:
        yield
    except ConnectTimeoutError:
        raise
    except (HTTPError, OSError) as error:
        raise NewConnectionError(connection, str(error)) from error


class _PlainConnection(BoundedConnection):
    def connect(self) -> None:
        with _never_sent(self):
            super().connect()


class _TlsConnection(_PlainConnection, BoundedTlsConnection):
    """The same over TLS: `connect` above goes on to that of `HTTPSConnection`."""
