"""One attempt to replace a credential's current secret, and its journal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from credmgr.model.audit import Event
from credmgr.model.finding import Alert
from credmgr.model.names import Name
from credmgr.model.version import Version, VersionStatus


class State(StrEnum):
    """Where a rotation stands (DESIGN §6)."""

    INTENT = "INTENT"
    CREATED = "CREATED"
    STAGED = "STAGED"
    VERIFIED = "VERIFIED"
    OVERLAP = "OVERLAP"
    REVOKING = "REVOKING"
    DONE = "DONE"
    ABORTING = "ABORTING"
    ABORTED = "ABORTED"
    OPERATOR = "OPERATOR"


ENDED: Final = frozenset({State.DONE, State.ABORTED})
PARKED: Final = frozenset({State.OPERATOR})
MOVING: Final = frozenset(State) - ENDED - PARKED


class Trigger(StrEnum):
    """Why a rotation was opened."""

    FIRST = "first"
    SCHEDULE = "schedule"
    OPERATOR = "operator"
    LEAKED = "leaked"
    IMPORT = "import"
    RETIRE = "retire"


class Request(StrEnum):
    """What an operator asked of an open rotation; only the lease holder acts on it."""

    NONE = ""
    ROLLBACK = "rollback"
    HURRY = "hurry"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Rotation:
    """The row that carries a rotation through its states.

    Attributes:
        id: Its id.
        credential: Whose rotation it is.
        trigger: Why it was opened.
        state: Where it stands.
        epoch: The lease's number under which it was last moved.
        attempt: 1 to 3; each attempt issues at most one secret under its own label.
        opened_at: When it was opened.
        entered_at: When it came into its state.
        not_before: When to look at it next.
        baseline: The ids that existed at the issuer just before this attempt's create was called;
            None while it surely was not called.
        old_version: The version that was current when it was opened; None for a first secret.
        old_secret_id: The issuer's id of that one: the only one that this rotation will revoke.
        new_version: The id under which the new secret is staged; fixed before the create.
        new_secret_id: The issuer's id of the new one, once known.
        fingerprint: Keyed hash of the new secret, once in hand.
        proofs: Successful logins with the copy read back, so far.
        failures: Failures in a row in this state.
        promoting_at: When the first pointer was about to be moved; None means none was.
        restored_at: When an abort had put every pointer back.
        overlap_from: When every copy had been promoted.
        disabled_at: When the old secret had been disabled.
        request: What an operator asked for.
        parked_from: The state it was parked from; None unless in OPERATOR.
        reason: Why it is aborted or parked; empty otherwise.
        waiting: For what it waits within its state; empty otherwise.
        steps: What a person is asked to do, when the rotation waits for one.
        reminded_at: When that person was last told.
    """

    id: UUID
    credential: Name
    trigger: Trigger
    state: State
    epoch: int
    attempt: int
    opened_at: datetime
    entered_at: datetime
    not_before: datetime
    new_version: UUID
    baseline: tuple[str, ...] | None = None
    old_version: UUID | None = None
    old_secret_id: str | None = None
    new_secret_id: str | None = None
    fingerprint: str = ""
    proofs: int = 0
    failures: int = 0
    promoting_at: datetime | None = None
    restored_at: datetime | None = None
    overlap_from: datetime | None = None
    disabled_at: datetime | None = None
    request: Request = Request.NONE
    parked_from: State | None = None
    reason: str = ""
    waiting: str = ""
    steps: tuple[str, ...] = ()
    reminded_at: datetime | None = None

    @property
    def label(self) -> str:
        """What this attempt writes on the secret at the issuer, so that it is found again."""
        return f"{self.label_prefix}{self.attempt}"

    @property
    def label_prefix(self) -> str:
        """What the labels of all of its attempts begin with."""
        return f"credmgr-{self.id.hex}-"

    @property
    def open(self) -> bool:
        """Whether it has not ended; a parked one is open."""
        return self.state not in ENDED

    @property
    def retires(self) -> bool:
        """Whether it ends the credential's last secret instead of replacing it."""
        return self.trigger is Trigger.RETIRE

    @property
    def urgent(self) -> bool:
        """Whether the old secret must die at once."""
        return self.trigger is Trigger.LEAKED or self.request is Request.HURRY


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of a rotation's journal.

    Attributes:
        at: When.
        rotation: Which rotation.
        state: The state after it.
        event: What happened, a stable word: `opened`, `moved`, `recorded`, `waiting`, `requested`.
        text: The same for a person, one line.
        facts: Ids, fingerprints and times that prove it; never a value.
    """

    at: datetime
    rotation: UUID
    state: State
    event: str
    text: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may move a credential's rotation now.

    Attributes:
        credential: What is leased.
        owner: A process: host, pid and a random part.
        epoch: Grows with every change of owner and fences off everyone who held it before.
        until: When it ends unless renewed.
    """

    credential: Name
    owner: str
    epoch: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """Everything that one move of a rotation writes, in one transaction.

    Attributes:
        rotation: The row as it is after the move.
        came_from: The state that the row must still be in; a move within a state names that state.
        next_due_at: When to look at the credential next; None means never by itself.
        entry: The line for the journal; None where there is nothing new to tell.
        event: The record for the audit chain; None likewise.
        versions: Versions to insert or replace, by id.
        alerts: Messages for the outbox.
        withdraws: Messages that still wait in the outbox and whose key begins so are true no more.
        clears_request: Whether an operator's request was carried out with this move.
        ends_credential: Whether the credential's last secret is gone with this move, so that its
            status becomes `revoked`.
    """

    rotation: Rotation
    came_from: State
    next_due_at: datetime | None
    entry: JournalEntry | None = None
    event: Event | None = None
    versions: tuple[Version, ...] = ()
    alerts: tuple[Alert, ...] = ()
    withdraws: str = ""
    clears_request: bool = False
    ends_credential: bool = False

    @property
    def wakes_copies(self) -> bool:
        """Whether its copies are to be looked at: readers get another secret, or it is over."""
        current = any(one.status is VersionStatus.CURRENT for one in self.versions)
        moved = current or self.ends_credential or self.rotation.restored_at is not None
        return moved or not self.rotation.open
