"""How far a server's clock is from ours, as its answers tell."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from credmgr.model.clock import Clock


class ServerClock:
    """Takes the `Date` of each answer (RFC 9110 §6.6.1), whose unit is a second. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead: timedelta | None = None

    @property
    def ahead(self) -> timedelta | None:
        """How far the server was ahead of us at its last answer; None when it has told nothing."""
        return self._ahead

    def heard(self, date: str | None) -> None:
        """Take the header of an answer; one that is missing or no date changes nothing."""
        try:
            theirs: datetime = parsedate_to_datetime(date or "")
        except (ValueError, OverflowError):
            return
        self._ahead = theirs.replace(tzinfo=theirs.tzinfo or UTC) - self._clock.now()
