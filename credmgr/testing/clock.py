"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta
from threading import Event, Lock
from typing import Final

START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """A `Clock` moved by hand; waiting moves it too and takes no time. Thread-safe.

    Attributes:
        waits: Every timeout that `wait` was asked for, oldest first.
    """

    def __init__(self, start: datetime = START) -> None:
        self.waits: list[timedelta] = []
        self._now = start
        self._elapsed = timedelta()
        self._lock = Lock()

    def now(self) -> datetime:
        """The wall clock, zone UTC."""
        with self._lock:
            return self._now

    def monotonic(self) -> timedelta:
        """Time that has passed since the clock was made, whatever `jump` did to the wall clock."""
        with self._lock:
            return self._elapsed

    def wait(self, event: Event, timeout: timedelta) -> bool:
        """Return at once, the time advanced by `timeout` unless `event` is set already."""
        with self._lock:
            self.waits.append(timeout)
        if not event.is_set():
            self.advance(max(timeout, timedelta()))
        return event.is_set()

    def advance(self, by: timedelta) -> None:
        """Let time pass on both clocks.

        Raises:
            ValueError: `by` is negative; time never runs backwards, only the wall clock may `jump`.
        """
        if by < timedelta():
            raise ValueError("time does not run backwards; use jump")
        with self._lock:
            self._now += by
            self._elapsed += by

    def jump(self, by: timedelta) -> None:
        """Set the wall clock forward or back, as an administrator or NTP would."""
        with self._lock:
            self._now += by
