"""What the rotation needs of the state database; implemented by `credmgr.store`."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from credmgr.model.audit import Event
from credmgr.model.credential import Credential, Enrolled, Place
from credmgr.model.names import Name
from credmgr.model.rotation import Change, Lease, Request, Rotation
from credmgr.model.secret import Secret
from credmgr.model.version import Stage, Version
from credmgr.plugins.issuer import Issuer


class Ledger(Protocol):
    """The state database as the rotation sees it. Thread-safe; every write is one transaction.

    All methods may raise `StateUnavailable` (locked, full, unreachable: repeat it). No method takes
    or gives a secret.
    """

    def enrolled(self, name: Name) -> Enrolled:
        """A credential as last applied.

        Raises:
            UnknownCredential: There is none of this name.
        """
        ...

    def due(self, now: datetime, limit: int) -> Sequence[Name]:
        """Credentials whose `next_due_at` has come, oldest first.

        Those on which a lease is live, be it another thread's of this process, are left out. One
        indexed query; its cost grows with what is due, never with what exists.
        """
        ...

    def postpone(self, name: Name, until: datetime | None) -> None:
        """Set when to look at a credential next, without opening a rotation."""
        ...

    def versions(self, name: Name) -> Sequence[Version]:
        """Every version ever issued, newest first; records never expire."""
        ...

    def current_versions(self) -> Mapping[Name, Version]:
        """What every credential's consumers should read now, by credential."""
        ...

    def rotation(self, rotation: UUID) -> Rotation:
        """One rotation by id.

        Raises:
            UsageError: There is none of this id.
        """
        ...

    def open_rotation(self, name: Name) -> Rotation | None:
        """The rotation of the credential that has not ended."""
        ...

    def rotation_ids(self, name: Name) -> frozenset[UUID]:
        """The ids of every rotation that the credential ever had, to know its own labels by."""
        ...

    def consumers_on(self, version: UUID, since: datetime) -> Sequence[Name]:
        """Consumers whose last use of the credential was of `version`.

        Who read the secret itself may hold it for as long as it lives; who had a token made from
        it counts only when that was later than `since`.
        """
        ...

    def copies_behind(self, name: Name, version: UUID) -> Sequence[Place]:
        """The places that, as far as is known, hold another version of the credential."""
        ...

    def note(self, event: Event) -> None:
        """Put a deed outside the state database into the audit chain."""
        ...

    def begin(self, change: Change, lease: Lease) -> None:
        """Insert a new rotation.

        Raises:
            RotationOpen: The credential has one that has not ended.
            LeaseLost: The lease is no longer ours.
        """
        ...

    def move(self, change: Change, lease: Lease) -> None:
        """Write a move: `UPDATE … WHERE id = ? AND state = came_from AND epoch = lease.epoch`.

        The column `request` is written only when `change.clears_request`: an operator's wish that
        came in since the row was read is kept.

        Raises:
            LeaseLost: No row matched; nothing was written.
        """
        ...

    def ask(self, rotation: UUID, request: Request, event: Event, now: datetime) -> None:
        """Write an operator's wish on an open rotation and make it due now. Needs no lease.

        Raises:
            NotAllowedNow: The rotation has ended.
        """
        ...

    def acquire(self, name: Name, owner: str, now: datetime, ttl: timedelta) -> Lease:
        """Take or retake a credential's lease.

        A change of owner, or a retake after expiry, makes the epoch grow by one, and stamps it on
        the credential's open rotation in the same transaction.

        Raises:
            LeaseHeld: Another owner's lease is live.
        """
        ...

    def renew(self, lease: Lease, now: datetime, ttl: timedelta) -> Lease:
        """Prolong a lease that is still ours.

        Raises:
            LeaseLost: It is no longer ours.
        """
        ...

    def release(self, lease: Lease) -> None:
        """End a lease early; one that is no longer ours is left alone."""
        ...


class Copies(Protocol):
    """The store's copy and every required one; implemented by `credmgr.distribution`.

    All methods may raise what a `SecretBackend` raises, and may be repeated.
    """

    @property
    def quarantine(self) -> timedelta:
        """How long a late write could still arrive; nothing is destroyed before it is over."""
        ...

    def current(self) -> Mapping[Place, UUID | None]:
        """Which version readers of each place see, sinks left out; None where nothing is yet."""
        ...

    def showing(self, version: UUID) -> Sequence[Place]:
        """The places whose readers see a version, sinks that can tell among them."""
        ...

    def lacking(self, version: UUID) -> Sequence[Place]:
        """The sinks that can tell, and tell that they do not hold a version as it was written."""
        ...

    def kept(self, stage: Stage, version: UUID) -> Secret | None:
        """The value that the store holds at `stage`, if it is `version`."""
        ...

    def read(self, stage: Stage, version: UUID) -> Mapping[Place, Secret | None]:
        """Every place's value at `stage`, None where it is not `version`; sinks are never read."""
        ...

    def stage(self, secret: Secret, version: UUID) -> Sequence[Place]:
        """Write the value as `next` everywhere; a sink must be able to take it.

        Returns:
            Where it is staged.
        """
        ...

    def promote(self, version: UUID, old: UUID | None) -> None:
        """Make `version` current everywhere, store first, where `old` or nothing is current now.

        Raises:
            Conflict: A place holds another version; others may have been moved.
        """
        ...

    def date(self, version: UUID, expires_at: datetime) -> None:
        """Note when a version that is current dies by itself, where a store can say so."""
        ...

    def restore(self, version: UUID, old: UUID | None) -> None:
        """Undo `promote`: make `old` current wherever `version` is; remove it where nothing was."""
        ...

    def fill(self, version: UUID) -> Sequence[Place]:
        """Give every target that holds nothing the store's current value, if it is `version`.

        Returns:
            The places that were written.
        """
        ...

    def discard(self, version: UUID) -> None:
        """Destroy a version that is not current, everywhere."""
        ...

    def keep_only(self, version: UUID) -> None:
        """Destroy whatever else is held under the credential's names and is not current."""
        ...

    def delete(self) -> None:
        """Remove the credential from every place."""
        ...


class Outside(Protocol):
    """The open sessions with the outside world, as one credential needs them."""

    def issuer(self, credential: Credential) -> Issuer:
        """The session with its issuer."""
        ...

    def copies(self, credential: Credential) -> Copies:
        """Its copies."""
        ...
