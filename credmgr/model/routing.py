"""Who is told of an alert, and when: routes from alerts to channels."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final
from zoneinfo import ZoneInfo

from credmgr.model.credential import Environment, Window
from credmgr.model.finding import Alert, Severity
from credmgr.model.names import Name

CHANNEL_RULE: Final = "alert.channel"
"""The rule of the finding that a channel takes no messages; its key goes on with the channel."""


class Grouping(StrEnum):
    """What alerts have in common that are told in one message."""

    OWNER = "owner"
    SEVERITY = "severity"
    ENVIRONMENT = "environment"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Match:
    """Which alerts a route takes: those for which all of it is true.

    Attributes:
        owners: Patterns of which the owner meets one (`*` stands for anything); empty is any owner.
        environments: Of which the credential is in one; empty is any, or none.
        severity: The least severity.
        rules: Patterns of which the rule meets one; empty is any rule.
    """

    owners: tuple[str, ...] = ()
    environments: frozenset[Environment] = frozenset()
    severity: Severity = Severity.INFO
    rules: tuple[str, ...] = ()

    def takes(self, alert: Alert) -> bool:
        """Whether an alert is meant."""
        return (
            alert.severity.rank >= self.severity.rank
            and _meets(alert.owner, self.owners)
            and _meets(alert.rule, self.rules)
            and (not self.environments or alert.environment in self.environments)
        )


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A part of the week in which only critical alerts are told; the rest waits for its end.

    Attributes:
        window: When, in local time of `zone`.
        zone: The time zone.
    """

    window: Window
    zone: ZoneInfo

    def end(self, moment: datetime) -> datetime | None:
        """When the quiet hours end in which `moment` lies; None when it lies in none."""
        today = moment.astimezone(self.zone).date()
        for day in (today - timedelta(days=1), today):
            if day.isoweekday() in self.window.days:
                last = day + timedelta(days=self.window.end <= self.window.start)
                start = _wall(self.zone, datetime.combine(day, self.window.start))
                end = _wall(self.zone, datetime.combine(last, self.window.end))
                if start <= moment < end:
                    return end
        return None


@dataclass(frozen=True, slots=True)
class Pace:
    """How a route gathers, holds and repeats.

    Attributes:
        group_by: What the alerts of one message have in common.
        group_wait: How long the first alert of a group waits for others.
        group_interval: The least time between two messages of one group.
        remind_every: How often people hear again of what is still open; None is never.
        quiet: When nothing but critical alerts is told.
    """

    group_by: tuple[Grouping, ...] = (Grouping.OWNER, Grouping.SEVERITY)
    group_wait: timedelta = timedelta(seconds=10)
    group_interval: timedelta = timedelta(minutes=5)
    remind_every: timedelta | None = timedelta(hours=24)
    quiet: QuietHours | None = None

    def group(self, alert: Alert) -> str:
        """The name of an alert's group."""
        said = {
            Grouping.OWNER: alert.owner,
            Grouping.SEVERITY: alert.severity.value,
            Grouping.ENVIRONMENT: alert.environment.value if alert.environment else "",
            Grouping.RULE: alert.rule,
        }
        return "/".join(said[one] for one in self.group_by)

    def not_quiet(self, alert: Alert, moment: datetime) -> datetime:
        """The first time from `moment` on at which the alert may be told."""
        if self.quiet is None or alert.severity is Severity.CRITICAL:
            return moment
        return self.quiet.end(moment) or moment


@dataclass(frozen=True, slots=True)
class Route:
    """Where the alerts of one kind go.

    Attributes:
        match: Which alerts.
        channels: To which notifiers.
        pace: When.
    """

    match: Match
    channels: tuple[Name, ...]
    pace: Pace


@dataclass(frozen=True, slots=True)
class Routing:
    """Where every alert goes.

    Attributes:
        channels: Every channel that there is.
        routes: The first that takes an alert decides.
        default: What decides when none does.
    """

    channels: tuple[Name, ...] = ()
    routes: tuple[Route, ...] = ()
    default: Route = field(default_factory=lambda: Route(Match(), (), Pace()))

    def route(self, alert: Alert) -> Route:
        """The route that decides."""
        return next((one for one in self.routes if one.match.takes(alert)), self.default)

    def to(self, alert: Alert) -> tuple[Name, ...]:
        """The channels by which an alert is told.

        That a channel is broken is not told through itself; if its route has no other, through all.
        """
        told = self.route(alert).channels
        broken = broken_channel(alert.key)
        if broken is None:
            return told
        others = tuple(one for one in told if one != broken)
        return others or tuple(one for one in self.channels if one != broken)


def broken_channel(key: str) -> str | None:
    """The channel of an alert that says that it is broken; None of any other alert."""
    rule, _, channel = key.partition("/")
    return channel if rule == CHANNEL_RULE else None


def channel_key(channel: Name) -> str:
    """The key of the finding, and of the alert, that a channel takes no messages."""
    return f"{CHANNEL_RULE}/{channel}"


def _meets(text: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)


def _wall(zone: ZoneInfo, local: datetime) -> datetime:
    """A time of day as a moment; of one that comes twice, the first."""
    return local.replace(tzinfo=zone).astimezone(UTC)
