"""What the outbox holds: alerts as raised, what each channel knows of them, messages on the way."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from credmgr.model.finding import Alert
from credmgr.model.names import Name


@dataclass(frozen=True, slots=True)
class Raised:
    """An alert as it is now.

    Attributes:
        alert: What to tell.
        digest: Of what makes it news: severity and title.
        open: Whether it is still true.
        flaps: How often it came back soon after it had ended.
        changed_at: When it was raised, got another digest, or came back.
        ended_at: When it was last true; None while it has never ended.
    """

    alert: Alert
    digest: str
    open: bool
    flaps: int
    changed_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Telling:
    """What a channel knows of an alert, and when it hears of it next.

    Attributes:
        channel: The notifier.
        key: The alert's.
        batch: Of what is told in one message.
        digest: Of what it was told; empty before.
        told_at: When; None before.
        ready_at: From when on it may be told, if a message of its batch leaves anyway.
        due_at: When it makes a message leave; None when there is nothing to tell.
    """

    channel: Name
    key: str
    batch: str
    digest: str = ""
    told_at: datetime | None = None
    ready_at: datetime | None = None
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What is on its way through one channel.

    Attributes:
        id: Which the receiver sees too, to drop repetitions by.
        channel: The notifier.
        batch: Of its alerts.
        alert: What to tell.
        attempts: How often the channel refused it.
    """

    id: UUID
    channel: Name
    batch: str
    alert: Alert
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class ChannelState:
    """How a channel is doing.

    Attributes:
        name: The notifier.
        waiting: Messages that it has not taken.
        attempts: Deliveries in a row that failed.
        retry_at: When the next one is tried; None when none has failed.
        delivered_at: When it last took a message; None before.
        why: What the last failure was; empty when none has.
    """

    name: Name
    waiting: int = 0
    attempts: int = 0
    retry_at: datetime | None = None
    delivered_at: datetime | None = None
    why: str = ""
