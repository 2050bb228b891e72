"""The SDK's connections: a pool of our size, and one deadline for a whole call.

The deadline is the caller's, whatever the SDK does within it: discovery of the tenant, a token,
the request itself. It bounds headers and body however slowly they drip.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Final

import requests
from azure.core.exceptions import ServiceRequestTimeoutError
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter

from credmgr.transport import pool_kinds

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
        heard: Told the `Date` of each answer.
    """

    def __init__(
        self,
        workers: int,
        ca_bundle: str | None,
        heard: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._workers = workers
        self._heard = heard
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
        answer = super().send(request, proxies=proxies, **kwargs)
        self._heard(answer.headers.get("date"))
        return answer


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = pool_kinds()
