"""The SDK's connections: a pool of our size, and one deadline for a whole call.

The deadline is the caller's, whatever the SDK does within it: discovery of the tenant, a token,
the request itself. It bounds headers and body however slowly they drip. What went wrong on the way
is noted, for the SDK tells an authority that is down and one that refuses by the same exception.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from threading import BoundedSemaphore
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from azure.core.exceptions import AzureError, ServiceRequestTimeoutError
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter

from credmgr.transport import pool_kinds

_CONNECT_SHARE: Final = 0.3
_IMDS_PATH: Final = "/metadata/identity/"
"""Of the instance metadata service (learn.microsoft.com, "How to use managed identities")."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A request that was not answered, or with "not now".

    Attributes:
        url: Where it went.
        status: 429 or 5xx; None without an answer.
        headers: Of the answer.
    """

    url: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """Whose trouble it is."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_imds(self) -> bool:
        """Whether it is the service that is found on Azure's machines only."""
        return urlsplit(self.url).path.startswith(_IMDS_PATH)


@dataclass(slots=True)
class _Turn:
    ends: float
    troubles: list[Trouble] = field(default_factory=list)
    refused: str = ""


_TURN: Final[ContextVar[_Turn]] = ContextVar("_TURN")


@contextmanager
def within(deadline: timedelta) -> Iterator[None]:
    """Let every call in this block end within `deadline`, together."""
    token = _TURN.set(_Turn(time.monotonic() + deadline.total_seconds()))
    try:
        yield
    finally:
        _TURN.reset(token)


def troubles() -> Sequence[Trouble]:
    """What went wrong on the way so far in this block, oldest first."""
    turn = _TURN.get(None)
    return turn.troubles if turn else ()


def refused() -> str:
    """The token that was answered with 401 in this block, the last one; empty for none."""
    turn = _TURN.get(None)
    return turn.refused if turn else ""


def left() -> float:
    """Seconds that are left in this block, never below zero."""
    turn = _TURN.get(None)
    return max(turn.ends - time.monotonic(), 0) if turn else threading.TIMEOUT_MAX


def is_not_now(status: int) -> bool:
    """Whether a status of RFC 9110 speaks of the moment, not of the request."""
    return status in (408, 429) or status >= 500  # noqa: PLR2004 (RFC 9110)


class BoundedTransport(RequestsTransport):  # type: ignore[misc] # the SDK loads it lazily
    """What the SDK sends by. Proxies and `.netrc` of the environment are not looked at.

    Args:
        workers: Most connections at once; who finds none free waits, within the deadline.
        ca_bundle: PEM file of authorities; None takes certifi's.
        heard: Told the `Date` of each answer.
    """

    def __init__(
        self,
        workers: int,
        ca_bundle: str | None,
        heard: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._workers = workers
        # not `pool_block`: requests would wait for a connection without an end
        self._free = BoundedSemaphore(workers)
        self._heard = heard
        super().__init__(connection_verify=ca_bundle or True, use_env_settings=False)

    def _init_session(self, session: requests.Session) -> None:
        session.trust_env = False
        for scheme in ("https://", "http://"):  # a managed identity's endpoint has no TLS
            session.mount(scheme, _Adapter(pool_maxsize=self._workers, max_retries=0))

    def send(self, request: Any, *, proxies: Any = None, **kwargs: Any) -> Any:
        """Send within what is left of the deadline.

        Raises:
            ServiceRequestTimeoutError: Nothing is left; nothing was sent.
            AzureError: There was no answer, or no whole one.
        """
        turn = _TURN.get()
        try:
            answer = self._sent(request, proxies=proxies, **kwargs)
        except AzureError:
            turn.troubles.append(Trouble(request.url))
            raise
        if is_not_now(answer.status_code):
            turn.troubles.append(Trouble(request.url, answer.status_code, answer.headers))
        if answer.status_code == 401:  # noqa: PLR2004 (RFC 9110)
            turn.refused = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self._heard(answer.headers.get("date"))
        return answer

    def _sent(self, request: Any, **kwargs: Any) -> Any:
        if not self._free.acquire(timeout=left()):
            raise ServiceRequestTimeoutError("no connection is free")
        try:
            seconds = left()
            if not seconds:
                raise ServiceRequestTimeoutError("no time is left")
            # what the SDK only probes for, it gives less time
            asked = kwargs.get("connection_timeout", math.inf)
            kwargs["connection_timeout"] = min(asked, seconds * _CONNECT_SHARE)
            kwargs["read_timeout"] = seconds * (1 - _CONNECT_SHARE)
            return super().send(request, **kwargs)
        finally:
            self._free.release()


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = pool_kinds()
