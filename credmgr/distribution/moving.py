"""Moving a credential's store: the value is copied and proven there, then one write switches.

    look ──► copy what lives ──► read back, log in ──► switch ─ ─ when told ─ ─► delete the old

Every step may be repeated, so a move that was cut off anywhere is just begun anew. Until the switch
the old store counts, after it the new one; in between both show the same secret.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from credmgr.distribution.copies import Opened
from credmgr.distribution.dating import date
from credmgr.errors import Conflict, NotAllowedNow, RotationOpen, SecretNotFound
from credmgr.model.audit import AuditRecord, Event
from credmgr.model.credential import Credential, Enrolled, Place
from credmgr.model.names import Name
from credmgr.model.rotation import Lease, Rotation
from credmgr.model.secret import Fingerprinter
from credmgr.model.version import Stage, Version, VersionStatus
from credmgr.plugins.backend import Held, SecretBackend
from credmgr.plugins.issuer import Issuer

MOVED: Final = "credential.moved"
FINISHED: Final = "credential.move-finished"
_PAGE: Final = 1000


class Ledger(Protocol):
    """What a move needs of the state database; all methods may raise `StateUnavailable`."""

    def enrolled(self, name: Name) -> Enrolled:
        """A credential as last applied."""
        ...

    def versions(self, name: Name) -> Sequence[Version]:
        """Every version ever issued, newest first."""
        ...

    def open_rotation(self, name: Name) -> Rotation | None:
        """The rotation of the credential that has not ended."""
        ...

    def rehome(self, name: Name, place: Place, lease: Lease, event: Event) -> None:
        """Make a place the credential's store, and no target of it any more.

        Raises:
            LeaseLost: The lease is no longer ours; nothing was written.
            RotationOpen: A rotation has been opened; likewise.
        """
        ...

    def note(self, event: Event) -> None:
        """Put a deed outside the state database into the audit chain."""
        ...


class Audit(Protocol):
    """Where the places that were moved from are on record."""

    def records(self, after: int, limit: int, subject: str | None) -> Sequence[AuditRecord]:
        """Records of one subject whose sequence is above `after`, oldest first."""
        ...


class Outside(Protocol):
    """The open sessions with the outside world."""

    @property
    def backends(self) -> Opened[SecretBackend]:
        """Stores of secrets."""
        ...

    def issuer(self, credential: Credential) -> Issuer:
        """The session with a credential's issuer."""
        ...


class Rotations(Protocol):
    """Who moves rotations."""

    def leased(self, name: Name) -> AbstractContextManager[Lease]:
        """Hold the credential, so that no rotation of it moves meanwhile.

        Raises:
            LeaseHeld: One does.
        """
        ...


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move did.

    Attributes:
        old: The store before; the same as `new` where it had been moved already.
        new: The store now.
        versions: The versions that were copied, the current one last.
        left: Places that were moved from and still hold what they held.
    """

    old: Place
    new: Place
    versions: tuple[UUID, ...]
    left: tuple[Place, ...]


class Mover:
    """Moves stores. Each call may be repeated; all may raise what a backend or an issuer raises."""

    def __init__(
        self,
        ledger: Ledger,
        audit: Audit,
        outside: Outside,
        rotations: Rotations,
        fingerprinter: Fingerprinter,
        actor: str,
    ) -> None:
        self._ledger, self._audit, self._outside = ledger, audit, outside
        self._rotations, self._fingerprinter, self._actor = rotations, fingerprinter, actor

    def move(self, name: Name, new: Place) -> Moved:
        """Make a place the credential's store, with everything alive that the old one holds.

        Raises:
            RotationOpen: A rotation is on its way.
            NotAllowedNow: The credential has no secret, so there is nothing to move.
            Conflict: The old store does not hold the current secret, or the new one holds another.
            SecretRejected: What was read back from the new store does not log in.
        """
        with self._rotations.leased(name) as lease:
            self._require_rest(name)
            credential = self._ledger.enrolled(name).credential
            if credential.store == new:
                return Moved(new, new, (), self.left(name))
            current = self._current(name)
            copied = self._copied(credential, new, current)
            date(self._outside.backends[new.backend], new, current.id, current.expires_at)
            self._prove(credential, new, current)
            facts = {"from": str(credential.store), "to": str(new), "version": str(current.id)}
            self._ledger.rehome(name, new, lease, Event(self._actor, MOVED, name, facts))
        return Moved(credential.store, new, copied, self.left(name))

    def left(self, name: Name) -> tuple[Place, ...]:
        """The places that the credential was moved from, and that still hold its secret.

        One that is its store again, or a target, is not among them.
        """
        left: dict[Place, None] = {}
        for event in self._events(name):
            if event.action == MOVED:
                left[_place(event.facts["from"])] = None
            elif event.action == FINISHED:
                left.pop(_place(event.facts["place"]), None)
        places = self._ledger.enrolled(name).credential.places
        return tuple(place for place in left if place not in places)

    def finish(self, name: Name) -> tuple[Place, ...]:
        """Delete the copies that moves have left behind, once the store is proven to work.

        Returns:
            The places that hold nothing any more.

        Raises:
            RotationOpen: A rotation is on its way.
            Conflict: The store does not hold the current secret.
        """
        with self._rotations.leased(name):
            self._require_rest(name)
            credential, left = self._ledger.enrolled(name).credential, self.left(name)
            if left:
                self._prove(credential, credential.store, self._current(name))
            for place in left:
                self._outside.backends[place.backend].delete(place.name)
                self._ledger.note(Event(self._actor, FINISHED, name, {"place": str(place)}))
        return left

    def _require_rest(self, name: Name) -> None:
        row = self._ledger.open_rotation(name)
        if row is not None:
            raise RotationOpen(
                f"a rotation of {name} is in {row.state}, and a store moves only between two",
                hint=f"wait for its end, or `credmgr rollback {name}`",
            )

    def _current(self, name: Name) -> Version:
        known = self._ledger.versions(name)
        current = next((one for one in known if one.status is VersionStatus.CURRENT), None)
        if current is None:
            raise NotAllowedNow(
                f"{name} has no secret to move",
                hint="`credmgr apply` is enough to change its store",
            )
        return current

    def _copied(self, credential: Credential, new: Place, current: Version) -> tuple[UUID, ...]:
        """Copy what lives, oldest first, so that readers end up with the current one."""
        target, name = self._outside.backends[new.backend], new.name
        shown = _shown(target, name)
        known = {one.id: one for one in self._ledger.versions(credential.name)}
        if shown not in (None, *known):
            raise Conflict(
                f"{new} holds version {shown}, which is none of {credential.name}",
                hint="choose another `--name`, and write it into the manifest",
            )
        copied = []
        for held in self._living(credential, current, known, alone=shown is not None):
            target.stage(name, held.secret, held.version)
            target.promote(name, held.version, expect=shown)
            shown = held.version
            copied.append(held.version)
        return tuple(copied)

    def _living(
        self, credential: Credential, current: Version, known: dict[UUID, Version], *, alone: bool
    ) -> Iterator[Held]:
        """What the old store holds and the issuer still takes, the current one last.

        Args:
            credential: Whose.
            current: Which version must be what readers get.
            known: Every version.
            alone: Whether that is all: whoever reads the new place sees no older one for a moment.

        Raises:
            Conflict: The old store does not hold the current secret.
        """
        source, name = self._outside.backends[credential.store.backend], credential.store.name
        held = _read(source, name, Stage.CURRENT)
        if held is None or not self._is(held, current):
            raise Conflict(
                f"{credential.store} does not hold the current secret of {credential.name}",
                hint=f"`credmgr drift {credential.name} --deep` shows what it holds",
            )
        if not alone and (before := _read(source, name, Stage.PREVIOUS)):
            version = known.get(before.version)
            if version is not None and version.status is not VersionStatus.REVOKED:
                yield before
        yield held

    def _prove(self, credential: Credential, place: Place, current: Version) -> None:
        """Read back what readers of a place get, and really log in with it."""
        held = _read(self._outside.backends[place.backend], place.name, Stage.CURRENT)
        if held is None or not self._is(held, current):
            raise Conflict(f"{place} does not give back the current secret of {credential.name}")
        self._outside.issuer(credential).verify(credential, held.secret)

    def _is(self, held: Held, version: Version) -> bool:
        same = self._fingerprinter.of(held.secret) == version.fingerprint
        return held.version == version.id and same

    def _events(self, name: Name) -> Iterator[Event]:
        after = 0
        while page := self._audit.records(after, _PAGE, name):
            yield from (record.event for record in page)
            after = page[-1].sequence


def _shown(backend: SecretBackend, name: Name) -> UUID | None:
    held = backend.versions(name)
    return next((one.version for one in held if one.stage is Stage.CURRENT), None)


def _read(backend: SecretBackend, name: Name, stage: Stage) -> Held | None:
    try:
        return backend.read(name, stage)
    except SecretNotFound:
        return None


def _place(text: str) -> Place:
    backend, _, name = text.partition(":")
    return Place(Name(backend), Name(name))
