"""Rules about time: how old a secret is, when it dies, and whether its rotation came."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from credmgr.model.credential import Environment, Kind
from credmgr.model.finding import Severity
from credmgr.model.rotation import State
from credmgr.model.subject import Subject
from credmgr.policy.rule import Answer, Found, Rule, day, span

DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class MaxAge:
    """Parameters of `max-age`; of all limits that fit, the shortest counts.

    Attributes:
        limit: The oldest that a secret may be.
        environments: The same where the credential is used.
        kinds: The same by kind.
        critical: The age from which it is critical; twice the limit unless given.
        risk_ref: The targeted risk analysis from which the limit comes, where a standard asks.
    """

    limit: timedelta = 90 * DAY
    environments: Mapping[Environment, timedelta] = field(default_factory=dict)
    kinds: Mapping[Kind, timedelta] = field(default_factory=dict)
    critical: timedelta | None = None
    risk_ref: str = ""

    def of(self, subject: Subject) -> timedelta:
        """The limit of a credential."""
        limit = self.environments.get(subject.environment, self.limit)
        return min(limit, self.kinds.get(subject.kind, limit))


def max_age(subject: Subject, at_most: MaxAge, now: datetime) -> Answer:
    """A secret is replaced before it is too old."""
    issued = subject.issued_at
    if issued is None:
        return None
    limit = at_most.of(subject) if at_most.environments or at_most.kinds else at_most.limit
    if now < (due := issued + limit):
        return due
    worse = issued + (at_most.critical or 2 * limit)
    told = f"its secret is from {day(issued)} and older than {span(limit)}"
    if at_most.risk_ref:
        told += f", which {at_most.risk_ref} allows"
    return Found(told, None, worse) if now < worse else Found(told, Severity.CRITICAL)


@dataclass(frozen=True, slots=True)
class Expiry:
    """Parameters of `expiry`.

    Attributes:
        ladder: Times left at which it is told again; the first is for information, the last
            critical.
    """

    ladder: tuple[timedelta, ...] = (30 * DAY, 14 * DAY, 7 * DAY, DAY)


def expiry(subject: Subject, warned: Expiry, now: datetime) -> Answer:
    """A secret that dies by itself is replaced before."""
    ends = subject.expires_at
    if ends is None:
        return None
    steps = sorted(warned.ladder, reverse=True)
    reached = [step for step in steps if ends - now <= step]
    if not reached:
        return ends - steps[0] if steps else None
    if now >= ends:
        return Found(f"its secret expired on {day(ends)}", Severity.CRITICAL)
    following = steps[len(reached)] if len(reached) < len(steps) else timedelta()
    last = len(reached) == len(steps)
    first = len(reached) == 1 and not last
    severity = Severity.CRITICAL if last else Severity.INFO if first else Severity.WARNING
    told = f"its secret expires on {day(ends)}, within {span(reached[-1])}"
    return Found(told, severity, ends - following)


@dataclass(frozen=True, slots=True)
class Overdue:
    """Parameters of `rotation-overdue`.

    Attributes:
        grace: How much later than scheduled is no matter: windows and retries take their time.
        critical: How much later is critical.
    """

    grace: timedelta = 3 * DAY
    critical: timedelta = 30 * DAY


def rotation_overdue(subject: Subject, late: Overdue, now: datetime) -> Answer:
    """What is scheduled happens."""
    if not subject.scheduled:
        return None
    if subject.issued_at is None:
        due, what = subject.applied_at, "its first secret was due"
    elif subject.every is not None:
        due, what = subject.issued_at + subject.every, "its rotation was due"
    elif subject.due_at is not None:
        due, what = subject.due_at, "it was to be looked at"
    else:
        return None
    if now < (last := due + late.grace):
        return last
    worse = due + late.critical
    told = f"{what} on {day(due)} and has not happened"
    return Found(told, None, worse) if now < worse else Found(told, Severity.CRITICAL)


@dataclass(frozen=True, slots=True)
class Parked:
    """Parameters of `rotation-parked`.

    Attributes:
        critical: How long a person may let it wait before that is critical.
    """

    critical: timedelta = 7 * DAY


def rotation_parked(subject: Subject, waits: Parked, now: datetime) -> Answer:
    """A rotation that waits for a person is not forgotten."""
    if subject.rotation is not State.OPERATOR or subject.rotation_since is None:
        return None
    why = f": {subject.rotation_reason}" if subject.rotation_reason else ""
    told = f"its rotation waits for a person since {day(subject.rotation_since)}{why}"
    worse = subject.rotation_since + waits.critical
    return Found(told, None, worse) if now < worse else Found(told, Severity.CRITICAL)


def no_schedule(subject: Subject, _: object, __: datetime) -> Answer:
    """A secret is replaced without anybody having to think of it."""
    if subject.scheduled:
        return None
    return Found("nothing but a person ever replaces its secret")


RULES: Final = (
    Rule(
        code="max-age",
        title="A secret is replaced before it is too old.",
        severity=Severity.WARNING,
        remedy="credmgr rotate {name}; then set `rotation: {{every: …}}` below the limit",
        source="CIS AWS Foundations Benchmark 1.14; AWS Config access-keys-rotated: 90 days",
        look=max_age,
        reads=("issued_at", "environment", "kind"),
        parameters=MaxAge,
    ),
    Rule(
        code="expiry",
        title="A secret that dies by itself is replaced before.",
        severity=Severity.WARNING,
        remedy="credmgr rotate {name}",
        source="Azure Key Vault and Entra warn 30 days ahead; Lemur 30, 15 and 2",
        look=expiry,
        reads=("expires_at",),
        parameters=Expiry,
    ),
    Rule(
        code="rotation-overdue",
        title="A rotation that is scheduled happens.",
        severity=Severity.WARNING,
        remedy="credmgr status, and credmgr doctor: is a daemon running, and what keeps it?",
        source="OWASP NHI7:2025 Long-Lived Secrets",
        look=rotation_overdue,
        reads=("issued_at", "every", "due_at", "scheduled", "applied_at"),
        parameters=Overdue,
    ),
    Rule(
        code="rotation-parked",
        title="A rotation that waits for a person is not forgotten.",
        severity=Severity.WARNING,
        remedy="credmgr show {name} says what to do; then credmgr resolve {name}",
        source="credmgr: a parked rotation never goes on by itself",
        look=rotation_parked,
        reads=("rotation", "rotation_since", "rotation_reason"),
        parameters=Parked,
        told=True,
    ),
    Rule(
        code="no-schedule",
        title="A secret is replaced without anybody having to think of it.",
        severity=Severity.INFO,
        remedy="set `rotation: {{every: 90d}}` for {name}",
        source="OWASP NHI7:2025 Long-Lived Secrets",
        look=no_schedule,
        reads=("scheduled",),
    ),
)
