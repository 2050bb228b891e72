"""What a policy rule found, and who is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from credmgr.model.credential import Environment


class Severity(StrEnum):
    """How bad a finding is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know, with a life of its own.

    Attributes:
        key: Stable: the rule and the object, no times.
        severity: How bad it is.
        text: One line for a person.
        opened_at: When it was first found.
        resolved_at: When it was gone; None while open.
        acknowledged_by: Who has seen it; empty while nobody has.
    """

    key: str
    severity: Severity
    text: str
    opened_at: datetime
    resolved_at: datetime | None = None
    acknowledged_by: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """A message to the owner of something.

    Attributes:
        key: Stable, without times: rule or event, and object. One key is told once per change.
        severity: How bad it is.
        owner: Whom it concerns.
        title: One line.
        body: What happened and what to do, lines of plain text.
        at: When it was raised.
        facts: Ids and names; never a value.
        environment: That of the credential that it is about, if it is about one.
        resolved: Whether it tells that what was raised under this key has ended.
        once: Whether it tells of something that happened and has no end: nobody is reminded of it.
        id: Of one message to one channel; the same when its delivery is repeated.
        items: The alerts that it stands for, when it sums up several.
    """

    key: str
    severity: Severity
    owner: str
    title: str
    body: str
    at: datetime
    facts: Mapping[str, str] = field(default_factory=dict)
    environment: Environment | None = None
    resolved: bool = False
    once: bool = False
    id: str = ""
    items: tuple["Alert", ...] = ()

    @property
    def rule(self) -> str:
        """What its key begins with: the rule or event, without the object."""
        return self.key.partition("/")[0]
