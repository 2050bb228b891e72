"""When a channel hears of an alert, and whether there is anything to say: pure questions.

             raised                       ended
(unknown) ───────────► due after group_wait ─────► nothing was said, nothing is
                             │ told
                             ▼
                         told, due again after remind_every
          changed │          │ ended
                  ▼          ▼
     due after group_wait    due after the hold, longer for what keeps coming back
                             │ told
                             ▼
                         (forgotten)
"""

from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from credmgr.model.outbox import Raised, Telling
from credmgr.model.routing import Pace

FIRST_HOLD: Final = timedelta(minutes=5)
LONGEST_HOLD: Final = timedelta(days=1)


class News(Enum):
    """What a message says of an alert."""

    NEW = auto()
    CHANGED = auto()
    REMINDER = auto()
    ENDED = auto()


def news(raised: Raised, known: Telling) -> News | None:
    """What there is to say of an alert to a channel; None when nothing."""
    told = known.told_at is not None
    if not (raised.open or raised.alert.once):
        return News.ENDED if told else None
    if not told:
        return News.NEW
    if known.digest != raised.digest:
        return News.CHANGED
    return None if raised.alert.once else News.REMINDER


def telling(raised: Raised, known: Telling, pace: Pace, last: datetime | None) -> Telling | None:
    """What a channel knows of an alert, with when it hears of it next; None to forget it.

    Args:
        raised: The alert as it is now.
        known: What the channel knows so far, and the batch in which it hears more.
        pace: Of the alert's route.
        last: When the last message of that batch was written.
    """
    alert = raised.alert
    known = replace(known, ready_at=None, due_at=None)
    what = news(raised, known)
    if what is None:
        return known if known.told_at is not None else None
    moments = _moments(what, raised, known, pace)
    if moments is None:
        return known
    ready, due = (pace.not_quiet(alert, moment) for moment in moments)
    if last is not None:
        due = pace.not_quiet(alert, max(due, last + pace.group_interval))
    return replace(known, ready_at=ready, due_at=due)


def told(raised: Raised, known: Telling, pace: Pace, now: datetime) -> Telling | None:
    """What a channel knows when a message has been written; None when that was the end."""
    if news(raised, known) is News.ENDED:
        return None
    known = replace(known, told_at=now, digest=raised.digest)
    return telling(raised, known, pace, now)


def hold(flaps: int, pace: Pace) -> timedelta:
    """How long an end is held back, to see whether it is one."""
    if flaps == 0:
        return pace.group_wait
    return max(pace.group_wait, min(FIRST_HOLD * (1 << min(flaps - 1, 10)), LONGEST_HOLD))


def _moments(
    what: News, raised: Raised, known: Telling, pace: Pace
) -> tuple[datetime, datetime] | None:
    """From when on it may be told, and when it makes a message leave."""
    if what is News.ENDED and raised.ended_at is not None:
        held = raised.ended_at + hold(raised.flaps, pace)
        return held, held
    if what is News.REMINDER:
        if pace.remind_every is None or known.told_at is None:
            return None
        again = known.told_at + pace.remind_every
        return again, again
    return raised.changed_at, raised.changed_at + pace.group_wait
