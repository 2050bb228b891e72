"""What a server's answers tell of time: how far its clock is from ours, how long to wait."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from credmgr.model.clock import Clock

MAX_RETRY_AFTER: Final = timedelta(hours=1)
"""Nobody makes us wait longer: MSAL's cap for the same header (`throttled_http_client.py`)."""
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_MORE_SECONDS: Final = re.compile(r"[0-9]{10,}")


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

    def asked(self, value: str | None) -> timedelta | None:
        """How long the header `Retry-After` of an answer asks to wait, from now."""
        return retry_after(value, self._clock.now())


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """How long a `Retry-After` header asks to wait (RFC 9110 §10.2.3), at most one hour.

    Seconds or an HTTP date; a date that is past is zero. None when it is absent or neither.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return min(timedelta(seconds=int(text)), MAX_RETRY_AFTER)
    if _MORE_SECONDS.fullmatch(text):
        return MAX_RETRY_AFTER
    try:
        until = parsedate_to_datetime(text)
        wait = until.replace(tzinfo=until.tzinfo or UTC) - now
    except (ValueError, OverflowError):
        return None
    return min(max(wait, timedelta(0)), MAX_RETRY_AFTER)
