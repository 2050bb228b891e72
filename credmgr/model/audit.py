"""Who did what, when, with what result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Event:
    """What is to be recorded, before it is chained.

    Attributes:
        actor: `daemon@host` or `operator:name@host`.
        action: A stable dotted word: `rotation.moved`, `credential.applied`.
        subject: The credential or other object.
        facts: Names, ids, states; never a value.
    """

    actor: str
    action: str
    subject: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One link of the audit chain.

    Attributes:
        sequence: 1, 2, 3 … without gaps.
        at: When it was written.
        event: What was recorded.
        mac: HMAC-SHA-256 over the previous link's mac and this record, hexadecimal.
    """

    sequence: int
    at: datetime
    event: Event
    mac: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of the chain at some moment, kept outside the database to notice a cut tail."""

    sequence: int
    mac: str
    at: datetime
