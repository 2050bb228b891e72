"""What is known of each copy of a credential's secret."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from credmgr.model.credential import Place
from credmgr.model.names import Name


class Condition(StrEnum):
    """How a copy was found."""

    UNSEEN = "unseen"
    """Nobody has looked yet."""
    CURRENT = "current"
    """Its readers get the current secret."""
    BEHIND = "behind"
    """It holds an earlier secret, or none yet, and is written as soon as it can be."""
    DRIFTED = "drifted"
    """It was changed, deleted or rolled back behind credmgr's back."""
    REFUSED = "refused"
    """It cannot be written as it is configured: a permission, a name, a size, somebody else's."""
    UNREACHABLE = "unreachable"
    """It does not answer now: an outage, a throttle, a sealed store."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy, as last looked at or written.

    Attributes:
        credential: Whose secret it is a copy of.
        place: Where it is.
        condition: How it was found.
        version: The version that credmgr last knew there; None while it has written none.
        since: Since when it is in this condition.
        reason: Why it is not current, one line for a person; empty when it is.
        token: What the backend said of the unchanged copy without showing the value; empty where it
            cannot tell.
        failures: Tries that failed in a row.
        repairs: How often it was written anew after a drift, within a day.
        repaired_at: When last.
        checked_at: When somebody last looked.
        look_at: When to look next.
        woken: How often it was to be looked at out of turn; a look that began before counts less.
    """

    credential: Name
    place: Place
    condition: Condition = Condition.UNSEEN
    version: UUID | None = None
    since: datetime | None = None
    reason: str = ""
    token: str = ""
    failures: int = 0
    repairs: int = 0
    repaired_at: datetime | None = None
    checked_at: datetime | None = None
    look_at: datetime | None = None
    woken: int = 0
