"""Time, injected."""

import time
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Protocol


class Clock(Protocol):
    """What tells the time; the only source of it."""

    def now(self) -> datetime:
        """The wall clock, zone UTC."""
        ...

    def monotonic(self) -> timedelta:
        """Time since some fixed moment, never running backwards, for measuring how long."""
        ...

    def wait(self, event: Event, timeout: timedelta) -> bool:
        """Wait until `event` is set or `timeout` has passed; True when it was set."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The wall clock, zone UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> timedelta:
        """Time since some fixed moment, never running backwards."""
        return timedelta(seconds=time.monotonic())

    def wait(self, event: Event, timeout: timedelta) -> bool:
        """Wait until `event` is set or `timeout` has passed; True when it was set."""
        return event.wait(max(timeout.total_seconds(), 0))
