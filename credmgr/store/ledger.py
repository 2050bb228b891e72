"""The ledger: every question to the state database and every change of it, one transaction each.

It is the `Ledger` that the rotation works with, and what the daemon, the API and the command line
need besides. What people and rotations do is audited in the same transaction; what only keeps the
machinery going is not (renewing and releasing leases, heartbeats, counting uses), or the log would
say nothing else.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from credmgr.model.audit import Event
from credmgr.model.consumer import Bearer
from credmgr.model.credential import Credential, Enrolled, Place
from credmgr.model.finding import Alert, Finding, Settlement
from credmgr.model.names import Name
from credmgr.model.purge import Purge
from credmgr.model.rotation import Change, JournalEntry, Lease, Request, Rotation
from credmgr.model.subject import Subject, Topic
from credmgr.model.usage import Usage
from credmgr.model.version import Version
from credmgr.store import (
    alerts,
    bearers,
    chain,
    copies,
    credentials,
    findings,
    heartbeats,
    leases,
    purges,
    rotations,
    subjects,
    usage,
)
from credmgr.store.credentials import Enrolment
from credmgr.store.database import Database
from credmgr.store.heartbeats import Heartbeat


class SqlLedger:
    """The state database, by transaction. Thread-safe.

    All methods may raise `StateUnavailable` (locked, full, unreachable: repeat it) and `StateError`
    (it is not what it should be: do not). No method takes or gives a secret.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def enrolled(self, name: Name) -> Enrolled:
        """A credential as last applied.

        Raises:
            UnknownCredential: There is none of this name.
        """
        with self._database.read() as connection:
            return credentials.enrolled(connection, name)

    def all_enrolled(self) -> Sequence[Enrolled]:
        """Every credential by name, retired and revoked ones as well."""
        with self._database.read() as connection:
            return credentials.all_enrolled(connection)

    def enrol(
        self, declared: Iterable[Credential], retire: Iterable[Name], actor: str, now: datetime
    ) -> Enrolment:
        """Make declarations known, and retire names that are declared no more.

        A new one is due now; so is one whose declaration changed, or that was retired or revoked
        and is declared again. A retired one is never due again, unless a rotation is open, which
        is left to finish. What is the same as before is left alone: repeating it writes nothing.

        Raises:
            TypeError: A credential's options hold something that is no plain value.
        """
        with self._database.write() as tx:
            return credentials.enrol(tx, declared, retire, actor, now)

    def rehome(self, name: Name, place: Place, lease: Lease, event: Event) -> None:
        """Make a place the credential's store, and no target of it any more.

        Raises:
            LeaseLost: The lease is no longer ours; nothing was written.
            RotationOpen: A rotation has been opened; likewise.
        """
        with self._database.write() as tx:
            leases.hold(tx, lease)
            rotations.require_none(tx, name)
            credentials.rehome(tx, name, place)
            tx.record(event)

    def due(self, now: datetime, limit: int) -> Sequence[Name]:
        """Credentials whose `next_due_at` has come, oldest first.

        Those on which a lease is live, be it another thread's of this process, are left out.
        """
        with self._database.read() as connection:
            return credentials.due(connection, now, limit)

    def postpone(self, name: Name, until: datetime | None) -> None:
        """Set when to look at a credential next, without opening a rotation."""
        with self._database.write() as tx:
            credentials.postpone(tx, name, until)

    def versions(self, name: Name) -> Sequence[Version]:
        """Every version ever issued, newest first; records never expire."""
        with self._database.read() as connection:
            return rotations.versions_of(connection, name)

    def current_versions(self) -> Mapping[Name, Version]:
        """What every credential's consumers should read now, by credential."""
        with self._database.read() as connection:
            return rotations.current_versions(connection)

    def fingerprinted(self) -> Sequence[Version]:
        """Every version of which the fingerprint is known, to know a secret again by."""
        with self._database.read() as connection:
            return rotations.fingerprinted(connection)

    def revision(self) -> int:
        """A number that grows with whatever is done to a credential: the audit chain's length."""
        with self._database.read() as connection:
            return chain.length(connection)

    def rotation(self, rotation: UUID) -> Rotation:
        """One rotation by id.

        Raises:
            UsageError: There is none of this id.
        """
        with self._database.read() as connection:
            return rotations.rotation(connection, rotation)

    def rotations(self, name: Name | None, limit: int) -> Sequence[Rotation]:
        """The newest rotations of one credential or of all, newest first."""
        with self._database.read() as connection:
            return rotations.newest(connection, name, limit)

    def open_rotation(self, name: Name) -> Rotation | None:
        """The rotation of the credential that has not ended."""
        with self._database.read() as connection:
            return rotations.open_rotation(connection, name)

    def open_rotations(self) -> Sequence[Rotation]:
        """Every rotation that has not ended, oldest first."""
        with self._database.read() as connection:
            return rotations.open_rotations(connection)

    def rotation_ids(self, name: Name) -> frozenset[UUID]:
        """The ids of every rotation that the credential ever had, to know its own labels by."""
        with self._database.read() as connection:
            return rotations.rotation_ids(connection, name)

    def journal(self, rotation: UUID) -> Sequence[JournalEntry]:
        """A rotation's journal, oldest line first."""
        with self._database.read() as connection:
            return rotations.journal_of(connection, rotation)

    def history(self, name: Name) -> Sequence[JournalEntry]:
        """The journals of all of a credential's rotations, oldest line first."""
        with self._database.read() as connection:
            return rotations.history(connection, name)

    def note(self, event: Event) -> None:
        """Put a deed outside the state database into the audit chain."""
        with self._database.write() as tx:
            tx.record(event)

    def begin(self, change: Change, lease: Lease) -> None:
        """Insert a new rotation, under the lease's epoch.

        Raises:
            RotationOpen: The credential has one that has not ended.
            LeaseLost: The lease is no longer ours.
        """
        with self._database.write() as tx:
            rotations.begin(tx, change, lease)

    def move(self, change: Change, lease: Lease) -> None:
        """Write a move, if the row is still in `change.came_from` under the lease's epoch.

        `id`, `credential`, `epoch` and `opened_at` are never written. An operator's `request` is
        never written either, only cleared, by this rule: when `change.clears_request`, it is
        cleared if it still is `change.rotation.request`; where the latter is NONE, so that the
        caller does not say which one it acted on, whatever stands there is cleared. A request that
        is left standing and that the caller had not seen (another than `change.rotation.request`)
        makes the rotation due now, whatever the change says. A credential that was retired
        meanwhile is not due again after the end.

        Raises:
            LeaseLost: The lease or the row is not what it was; nothing was written.
        """
        with self._database.write() as tx:
            rotations.move(tx, change, lease)

    def ask(self, rotation: UUID, request: Request, event: Event, now: datetime) -> None:
        """Write an operator's wish on an open rotation and make it due now. Needs no lease.

        Raises:
            UsageError: There is none of this id.
            NotAllowedNow: The rotation has ended.
        """
        with self._database.write() as tx:
            rotations.ask(tx, rotation, request, event, now)

    def acquire(self, name: Name, owner: str, now: datetime, ttl: timedelta) -> Lease:
        """Take or retake a credential's lease.

        A take by another owner, after expiry or after release makes the epoch grow by one, and
        stamps it on the open rotation. The same owner's live lease is prolonged, epoch unchanged.

        Raises:
            LeaseHeld: Another owner's lease is live.
            UnknownCredential: There is none of this name.
        """
        with self._database.write() as tx:
            return leases.acquire(tx, name, owner, now, ttl)

    def renew(self, lease: Lease, now: datetime, ttl: timedelta) -> Lease:
        """Prolong a lease that is still ours; one that ran out is, until somebody takes it.

        Raises:
            LeaseLost: It is no longer ours.
        """
        with self._database.write() as tx:
            return leases.renew(tx, lease, now, ttl)

    def release(self, lease: Lease) -> None:
        """End a lease early; one that is no longer ours is left alone."""
        with self._database.write() as tx:
            leases.release(tx, lease)

    def queue_alerts(self, raised: Sequence[Alert], event: Event) -> None:
        """Put alerts into the outbox: what they say of their keys counts from now on."""
        with self._database.write() as tx:
            alerts.queue(tx, raised)
            tx.record(event)

    def open_finding(self, finding: Finding, actor: str) -> bool:
        """Open a finding, or give the open one of this key its severity and text.

        Returns:
            Whether that was news.
        """
        with self._database.write() as tx:
            return findings.open_one(tx, finding, actor)

    def resolve_finding(self, key: str, actor: str, now: datetime) -> bool:
        """End the open finding of this key, and what was raised of it; False when there is none."""
        with self._database.write() as tx:
            alerts.end(tx, [key])
            return findings.resolve(tx, key, actor, now)

    def acknowledge_finding(self, key: str, actor: str) -> bool:
        """Note who has seen the open finding of this key; False when there is none."""
        with self._database.write() as tx:
            return findings.acknowledge(tx, key, actor)

    def snooze_finding(self, key: str, until: datetime, actor: str) -> bool:
        """Remind nobody of the open finding of this key before; False when there is none."""
        with self._database.write() as tx:
            return findings.snooze(tx, key, until, actor)

    def exempt_finding(self, key: str, until: datetime, why: str, actor: str) -> bool:
        """Let the open finding of this key not count before; False when there is none."""
        with self._database.write() as tx:
            return findings.exempt(tx, key, until, why, actor)

    def findings(self, *, open_only: bool) -> Sequence[Finding]:
        """Findings, oldest first."""
        with self._database.read() as connection:
            return findings.listed(connection, open_only=open_only)

    def findings_of(self, key: str) -> Sequence[Finding]:
        """Every finding that there ever was of a key, oldest first."""
        with self._database.read() as connection:
            return findings.of_key(connection, key)

    def to_look_at(self, now: datetime, limit: int) -> Sequence[Name]:
        """Credentials whose `next_look_at` has come, longest waiting first."""
        with self._database.read() as connection:
            return subjects.to_look_at(connection, now, limit)

    def names_after(self, name: str, limit: int) -> Sequence[Name]:
        """Credentials behind a name in their order, with whatever status."""
        with self._database.read() as connection:
            return subjects.names_after(connection, name, limit)

    def subjects(self, names: Sequence[Name]) -> Sequence[Subject]:
        """What rules look at, of each credential that there is; in no particular order."""
        with self._database.read() as connection:
            return subjects.subjects(connection, names)

    def known_findings(self, names: Sequence[Name], now: datetime) -> Sequence[Finding]:
        """Open findings of credentials, and resolved ones whose exemption still holds."""
        with self._database.read() as connection:
            return findings.known(connection, names, now)

    def settle(
        self,
        names: Sequence[Name],
        decide: Callable[[Sequence[Finding]], Settlement],
        now: datetime,
    ) -> Settlement:
        """Decide on what is known of credentials and write what comes of it, with its alerts.

        A next look is not written where it was moved since it was read: something has changed.
        """
        with self._database.write() as tx:
            return findings.settle(tx, names, decide, now)

    def adopt_rules(self, digest: str, now: datetime) -> bool:
        """Make every active credential due for a look when other rules hold; whether so."""
        with self._database.read() as connection:
            if subjects.rules(connection) == digest:
                return False
        with self._database.write() as tx:
            return subjects.adopt_rules(tx, digest, now)

    def observe(self, name: Name, topic: Topic, details: Sequence[str]) -> bool:
        """Keep what was seen of a credential outside, and look at it again; whether it was news."""
        with self._database.write() as tx:
            return subjects.observe(tx, name, topic, details)

    def record_use(self, batch: Iterable[Usage]) -> None:
        """Add counted uses; repeating it counts twice."""
        with self._database.write() as tx:
            usage.record(tx, batch)

    def usage(self, credential: Name) -> Sequence[Usage]:
        """Every use of a credential, by consumer, newest first."""
        with self._database.read() as connection:
            return usage.of(connection, credential)

    def consumers_on(self, version: UUID, since: datetime) -> Sequence[Name]:
        """Consumers whose last use of it was of `version`; see `credmgr.rotation.ports`."""
        with self._database.read() as connection:
            return usage.consumers_on(connection, version, since)

    def copies_behind(self, name: Name, version: UUID) -> Sequence[Place]:
        """The places that, as far as is known, hold another version of the credential."""
        with self._database.read() as connection:
            return copies.behind(connection, name, version)

    def bearers(self, now: datetime) -> Sequence[Bearer]:
        """Every consumer's bearers that have not ended, newest first."""
        with self._database.read() as connection:
            return bearers.live(connection, now)

    def give_bearer(self, bearer: Bearer, overlap: timedelta, actor: str) -> None:
        """Let a consumer in by a new bearer; those that it has end after `overlap` at the latest.

        One that has ended is forgotten.
        """
        with self._database.write() as tx:
            bearers.give(tx, bearer, overlap, actor)

    def take_bearers(self, consumer: Name, actor: str) -> int:
        """Let a consumer in no more by any bearer that it has; returns how many ended."""
        with self._database.write() as tx:
            return bearers.take(tx, consumer, actor)

    def ask_purge(self, credential: Name, event: Event, now: datetime) -> Purge:
        """Ask every process to drop the tokens of a credential."""
        with self._database.write() as tx:
            tx.record(event)
            return purges.ask(tx, credential, now)

    def purges(self, after: int) -> Sequence[Purge]:
        """Purges with an id above `after`, oldest first."""
        with self._database.read() as connection:
            return purges.since(connection, after)

    def acknowledge_purges(self, done: Sequence[Purge]) -> None:
        """Note that this process has dropped the tokens. May be repeated."""
        with self._database.write() as tx:
            purges.acknowledge(tx, done)

    def purge_owners(self, purge: int) -> frozenset[str]:
        """The processes that have acknowledged a purge."""
        with self._database.read() as connection:
            return purges.owners(connection, purge)

    def beat(self, sign: Heartbeat) -> None:
        """Note that a daemon is alive; daemons silent for a week are forgotten."""
        with self._database.write() as tx:
            heartbeats.beat(tx, sign)

    def stop(self, owner: str) -> None:
        """Forget a daemon that ended in order."""
        with self._database.write() as tx:
            heartbeats.stop(tx, owner)

    def heartbeats(self) -> Sequence[Heartbeat]:
        """Every daemon, the one heard last first."""
        with self._database.read() as connection:
            return heartbeats.listed(connection)
