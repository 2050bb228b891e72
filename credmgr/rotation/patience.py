"""Waiting that no jump of the wall clock shortens."""

from datetime import datetime, timedelta
from uuid import UUID

from credmgr.model.clock import Clock


class Patience:
    """Measures how long ago something was, by the wall clock and by the steady one.

    The wall clock survives a restart, the steady one a jump; whichever says that less time has
    passed is believed, so that an old secret is never revoked early. A jump while no process looks
    is not noticed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._first_seen: dict[UUID, tuple[datetime, timedelta]] = {}

    def left(self, rotation: UUID, since: datetime, length: timedelta) -> timedelta:
        """How much of `length`, counted from `since`, is still to be waited; never negative."""
        now, steady_now = self._clock.now(), self._clock.monotonic()
        seen, steady_seen = self._first_seen.setdefault(rotation, (now, steady_now))
        steady_passed = max(seen - since, timedelta()) + (steady_now - steady_seen)
        return max(length - min(now - since, steady_passed), timedelta())

    def forget(self, rotation: UUID) -> None:
        """Let go of a rotation, or of a wait within it that is over."""
        self._first_seen.pop(rotation, None)
