"""The shape of the manifest's section `alerts`: who is told of what, and when."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from credmgr.manifest.entry import DAYS, Day, Entry, distinct, some
from credmgr.manifest.forms import ClockTime, Duration, Span, Text, Zone
from credmgr.model.credential import Environment
from credmgr.model.finding import Severity
from credmgr.model.routing import Grouping


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _never(value: Any) -> Any:
    return None if value == "never" else value


Patterns = Annotated[
    tuple[Text, ...],
    BeforeValidator(_one_or_more, json_schema_input_type=Text | tuple[Text, ...]),
    AfterValidator(some),
]
Environments = Annotated[
    tuple[Environment, ...],
    BeforeValidator(_one_or_more, json_schema_input_type=Environment | tuple[Environment, ...]),
    AfterValidator(some),
]
Reminding = Annotated[
    Duration | None,
    BeforeValidator(_never, json_schema_input_type=Duration | Literal["never"]),
]


class QuietEntry(Entry):
    """A part of the week in which only critical alerts are told; the rest waits for its end."""

    days: Annotated[tuple[Day, ...], AfterValidator(some)] = DAYS
    """On which days it begins; every day unless given."""
    start: ClockTime = Field(examples=['"22:00"'])
    """When it begins, local time of `zone`."""
    end: ClockTime = Field(examples=['"07:00"'])
    """When it ends; before `start` means on the next day."""
    zone: Zone = Field(default="UTC", validate_default=True)
    """The time zone."""


class MatchEntry(Entry):
    """Which alerts a route takes: those for which all that stands here is true."""

    owner: Patterns | None = None
    """The owner, or a list of which one fits; `*` stands for anything."""
    environment: Environments | None = None
    """The credential's environment, or a list."""
    severity: Severity = Severity.INFO
    """The least severity: `info`, `warning` or `critical`."""
    rule: Patterns | None = None
    """The rule, or a list of which one fits; `*` stands for anything."""


class PaceEntry(Entry):
    """How alerts are gathered, held and repeated."""

    group_by: Annotated[tuple[Grouping, ...], AfterValidator(distinct)] | None = None
    """What the alerts of one message have in common: `owner` and `severity` unless given."""
    group_wait: Span | None = None
    """How long the first alert of a group waits for others; `10s` unless given."""
    group_interval: Span | None = None
    """The least time between two messages of one group; `5m` unless given."""
    remind_every: Reminding = None
    """How often people hear again of what is still open, or `never`; `24h` unless given."""
    quiet_hours: QuietEntry | None = None
    """When nothing but critical alerts is told."""


class RouteEntry(PaceEntry):
    """Where some alerts go; what it does not say is as under `alerts`."""

    match: MatchEntry = Field(default_factory=MatchEntry)
    """Which alerts; all of them unless given."""
    to: Annotated[tuple[Text, ...], AfterValidator(distinct)] = Field(examples=["[log]"])
    """Names under `notifiers`; an empty list tells nobody."""


class AlertsEntry(PaceEntry):
    """Who is told of what, and when."""

    routes: tuple[RouteEntry, ...] = ()
    """The first that takes an alert decides."""
    default: Annotated[tuple[Text, ...], AfterValidator(distinct)] | None = None
    """Where alerts go that no route takes: names under `notifiers`; all of them unless given."""
