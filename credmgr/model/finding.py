"""What a policy rule found, and who is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from credmgr.model.audit import Event
from credmgr.model.credential import Environment
from credmgr.model.names import Name


class Severity(StrEnum):
    """How bad a finding is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """A number that grows with it."""
        return tuple(Severity).index(self)


class Standing(StrEnum):
    """What people have made of a finding."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    EXEMPT = "exempt"
    RESOLVED = "resolved"


LEAK: Final = "leak/{}"
"""The key of the finding that a credential's live secret was found where it should not be; its text
has the fingerprints, and it ends when no living version has one of them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know, with a life of its own.

    Attributes:
        key: Stable: the rule and the object, no times.
        severity: How bad it is.
        text: One line for a person, without numbers that run.
        opened_at: When it was first found.
        resolved_at: When it was gone; None while open.
        acknowledged_by: Who has seen it; empty while nobody has.
        rule: The rule that found it, its pack first; empty where no rule did.
        credential: What it is about; empty where it is about none.
        owner: Who answers for that.
        environment: Where that is used.
        remedy: What to do about it; empty where the text says it.
        source: Where the rule comes from.
        snoozed_until: Nobody is reminded of it before.
        exempt_until: It does not count before.
        exempted_by: Who decided that.
        exempted_why: The reason given.
    """

    key: str
    severity: Severity
    text: str
    opened_at: datetime
    resolved_at: datetime | None = None
    acknowledged_by: str = ""
    rule: str = ""
    credential: str = ""
    owner: str = ""
    environment: str = ""
    remedy: str = ""
    source: str = ""
    snoozed_until: datetime | None = None
    exempt_until: datetime | None = None
    exempted_by: str = ""
    exempted_why: str = ""

    def standing(self, now: datetime) -> Standing:
        """How it stands: resolved, or what people have made of it until now."""
        if self.resolved_at is not None:
            return Standing.RESOLVED
        if self.exempt_until is not None and now < self.exempt_until:
            return Standing.EXEMPT
        if self.snoozed_until is not None and now < self.snoozed_until:
            return Standing.SNOOZED
        return Standing.ACKNOWLEDGED if self.acknowledged_by else Standing.OPEN


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


@dataclass(frozen=True, slots=True)
class NextLook:
    """When a rule looks at a credential next.

    Attributes:
        credential: Which.
        before: What was known of it; when that has changed meanwhile, this is not written.
        after: What it is from now on; None means at a change only.
    """

    credential: Name
    before: datetime | None
    after: datetime | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a look at some credentials changes, written in one transaction.

    Attributes:
        opened: Findings that are new.
        changed: Open ones as they are now.
        resolved: Open ones that are gone.
        events: The records for the audit chain.
        alerts: Messages for the outbox.
        looks: Credentials whose next look is at another time than before.
    """

    opened: tuple[Finding, ...] = ()
    changed: tuple[Finding, ...] = ()
    resolved: tuple[Finding, ...] = ()
    events: tuple[Event, ...] = ()
    alerts: tuple[Alert, ...] = ()
    looks: tuple[NextLook, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.opened or self.changed or self.resolved or self.looks)
