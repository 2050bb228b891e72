"""One issuer's breaker: while it does not answer, it is left alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Lock
from typing import Final

from credmgr.errors import IssuerUnavailable, TokenUnavailable
from credmgr.model.clock import Clock

FAILURES: Final = 3
"""Failures in a row that open it; one with `Retry-After` does so at once."""
FIRST: Final = timedelta(seconds=1)
LONGEST: Final = timedelta(minutes=1)
"""The ceiling of the doubling pauses; an issuer may ask for more."""
LEAST: Final = timedelta(seconds=1)
PROBING: Final = timedelta(seconds=1)
"""What those are told who come while one probe is on its way."""


class Breaker:
    """Closed, open, or half open with one probe on its way. Thread-safe.

    Args:
        clock: Time.
        jitter: Gives 0 to 1; pauses are 50 to 100 % of their length.
    """

    def __init__(self, clock: Clock, jitter: Callable[[], float]) -> None:
        self._clock, self._jitter = clock, jitter
        self._lock = Lock()
        self._failures = 0
        self._open_until: timedelta | None = None
        self._probing = False

    def require_closed(self) -> None:
        """Refuse early what `call` would refuse.

        Raises:
            TokenUnavailable: The issuer is left alone for now.
        """
        with self._lock:
            self._refuse()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around one call to the issuer; what it raises is judged and passed on.

        Raises:
            TokenUnavailable: The issuer is left alone for now, or a probe is on its way.
        """
        with self._lock:
            self._refuse()
            self._probing = self._open_until is not None
        try:
            yield
        except IssuerUnavailable as error:
            self._failed(error.retry_after)
            raise
        except BaseException:
            self._answered()  # a refusal is an answer
            raise
        self._answered()

    def _refuse(self) -> None:
        left = (self._open_until or timedelta()) - self._clock.monotonic()
        if self._open_until is not None and left > timedelta():
            raise TokenUnavailable("the issuer does not answer", retry_after=max(left, LEAST))
        if self._probing:
            raise TokenUnavailable("the issuer is being tried again", retry_after=PROBING)

    def _failed(self, asked: timedelta | None) -> None:
        with self._lock:
            self._probing = False
            self._failures += 1
            if asked is None and self._failures < FAILURES:
                return
            doublings = min(max(self._failures - FAILURES, 0), 10)
            pause = min(FIRST * (1 << doublings), LONGEST) * (0.5 + self._jitter() / 2)
            self._open_until = self._clock.monotonic() + max(asked or pause, pause)

    def _answered(self) -> None:
        with self._lock:
            self._failures, self._open_until, self._probing = 0, None, False
