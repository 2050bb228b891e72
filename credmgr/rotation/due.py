"""Whether a credential is due for rotation: a pure question with a reasoned answer."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from cronsim import CronSim

from credmgr.model.credential import CredentialStatus, Enrolled, Schedule, Window
from credmgr.model.version import Version

EXPIRY_POINT: Final = 2 / 3
"""A secret that dies by itself is replaced at two thirds of its life, as cert-manager does."""


class Reason(StrEnum):
    """Why a credential is due."""

    FIRST = "it has no secret yet"
    AGE = "its secret has reached the age at which it is replaced"
    CRON = "its schedule names this moment"
    EXPIRY = "its secret will expire"


@dataclass(frozen=True, slots=True)
class Due:
    """Rotate it now."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class NotDue:
    """Look again at `until`; None means never by itself."""

    until: datetime | None


def due(enrolled: Enrolled, current: Version | None, now: datetime) -> Due | NotDue:
    """Whether the credential's current secret is to be replaced at `now`.

    Only an active credential is ever due. A missing first secret is due at once. Otherwise the
    earliest of age, cron and expiry decides, moved into the next window; an expiry waits for no
    window, since a dead secret is worse than a badly timed rotation.
    """
    if enrolled.status is not CredentialStatus.ACTIVE:
        return NotDue(until=None)
    if current is None:
        return Due(Reason.FIRST)
    moments = sorted(_moments(enrolled, current))
    if not moments:
        return NotDue(until=None)
    moment, reason = moments[0]
    return Due(reason) if moment <= now else NotDue(until=moment)


def _moments(enrolled: Enrolled, current: Version) -> Iterator[tuple[datetime, Reason]]:
    schedule = enrolled.credential.policy.schedule
    if schedule.every is not None:
        early = schedule.every * schedule.jitter * spread(enrolled.credential.name)
        yield opening(schedule, current.issued_at + schedule.every - early), Reason.AGE
    if schedule.cron is not None:
        yield opening(schedule, _cron_after(schedule, current.issued_at)), Reason.CRON
    if current.expires_at is not None and not schedule.manual_only:
        life = current.expires_at - current.issued_at
        yield current.issued_at + life * EXPIRY_POINT, Reason.EXPIRY


def _cron_after(schedule: Schedule, moment: datetime) -> datetime:
    return next(CronSim(schedule.cron or "", moment.astimezone(schedule.zone)))


def spread(name: str) -> float:
    """A fraction of 0 to 1 that is always the same for one name, and even over many."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def opening(schedule: Schedule, moment: datetime) -> datetime:
    """The first time at or after `moment` that lies in one of the schedule's windows."""
    if not schedule.windows:
        return moment
    return min(_opening(window, schedule, moment) for window in schedule.windows)


def _opening(window: Window, schedule: Schedule, moment: datetime) -> datetime:
    yesterday = moment.astimezone(schedule.zone).date() - timedelta(days=1)
    nine = (yesterday + timedelta(days=offset) for offset in range(9))
    spans = (_span(window, schedule, day) for day in nine if day.isoweekday() in window.days)
    return next(max(moment, start) for start, end in spans if moment < end)


def _span(window: Window, schedule: Schedule, day: date) -> tuple[datetime, datetime]:
    last = day + timedelta(days=1) if window.end <= window.start else day
    start = datetime.combine(day, window.start, schedule.zone)
    return start, datetime.combine(last, window.end, schedule.zone)
