"""Rotations, their journals, and the versions that they issue."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Boolean, Connection, bindparam, case, insert, or_, select, update

from credmgr.errors import LeaseLost, NotAllowedNow, RotationOpen, UsageError
from credmgr.model.audit import Event
from credmgr.model.names import Name
from credmgr.model.rotation import Change, JournalEntry, Lease, Request, Rotation
from credmgr.model.version import Version, VersionStatus
from credmgr.store import alerts, copies, credentials, leaks, leases, subjects
from credmgr.store.database import Transaction
from credmgr.store.tables import journal, open_only, rotations, versions
from credmgr.store.types import Words
from credmgr.store.upserts import Upsert, replacing

_FIXED: Final = frozenset({"id", "credential", "epoch", "opened_at", "request"})
"""What a move never writes from the row that it is given."""

_ROW: Final = tuple(field.name for field in fields(Rotation))
_MOVED: Final = tuple(name for name in _ROW if name not in _FIXED)
_VERSION: Final = tuple(field.name for field in fields(Version))
_ENTRY: Final = tuple(field.name for field in fields(JournalEntry))

_SELECT: Final = select(*(rotations.c[name] for name in _ROW))
_ONE: Final = _SELECT.where(rotations.c.id == bindparam("b_id"))
_LOCK: Final = _ONE.with_for_update()
_OPEN: Final = _SELECT.where(open_only).order_by(rotations.c.opened_at)
_OPEN_OF: Final = _OPEN.where(rotations.c.credential == bindparam("b_credential"))
_IDS: Final = select(rotations.c.id).where(rotations.c.credential == bindparam("b_credential"))
_NEWEST: Final = _SELECT.order_by(rotations.c.opened_at.desc(), rotations.c.id).limit(
    bindparam("b_limit")
)
_NEWEST_OF: Final = _NEWEST.where(rotations.c.credential == bindparam("b_credential"))
_INSERT: Final = insert(rotations)
_MOVE: Final = (
    update(rotations)
    .where(
        rotations.c.id == bindparam("b_id"),
        rotations.c.credential == bindparam("b_credential"),
        rotations.c.state == bindparam("b_came_from"),
        rotations.c.epoch == bindparam("b_epoch"),
    )
    .values(
        request=case(
            (
                bindparam("b_clears", type_=Boolean)
                & or_(
                    bindparam("b_seen", type_=Words(Request)) == Request.NONE,
                    rotations.c.request == bindparam("b_seen"),
                ),
                bindparam("b_none", Request.NONE, type_=Words(Request)),
            ),
            else_=rotations.c.request,
        )
    )
    .returning(rotations.c.request)
)
_CHANGE: Final = update(rotations).where(rotations.c.id == bindparam("b_id"))
_JOURNAL: Final = (
    select(*(journal.c[name] for name in _ENTRY))
    .where(journal.c.rotation == bindparam("b_id"))
    .order_by(journal.c.id)
)
_HISTORY: Final = (
    select(*(journal.c[name] for name in _ENTRY))
    .join(rotations, rotations.c.id == journal.c.rotation)
    .where(rotations.c.credential == bindparam("b_credential"))
    .order_by(journal.c.id)
)
_WRITE_ENTRY: Final = insert(journal)
_VERSIONS: Final = (
    select(*(versions.c[name] for name in _VERSION))
    .where(versions.c.credential == bindparam("b_credential"))
    .order_by(versions.c.issued_at.desc(), versions.c.id)
)
_CURRENT: Final = select(*(versions.c[name] for name in _VERSION)).where(
    versions.c.status == VersionStatus.CURRENT
)
_FINGERPRINTED: Final = select(*(versions.c[name] for name in _VERSION)).where(
    versions.c.fingerprint != ""
)
_PUT_VERSION: Final = Upsert(versions, ["id"], replacing(*(n for n in _VERSION if n != "id")))


def rotation(connection: Connection, identity: UUID) -> Rotation:
    """One rotation; see `Ledger.rotation`."""
    row = connection.execute(_ONE, {"b_id": identity}).one_or_none()
    if row is None:
        raise UsageError(f"no rotation has the id {identity}")
    return _rotation(row)


def open_rotation(connection: Connection, name: Name) -> Rotation | None:
    """The credential's rotation that has not ended."""
    row = connection.execute(_OPEN_OF, {"b_credential": name}).one_or_none()
    return None if row is None else _rotation(row)


def open_rotations(connection: Connection) -> Sequence[Rotation]:
    """Every rotation that has not ended, oldest first."""
    return [_rotation(row) for row in connection.execute(_OPEN)]


def rotation_ids(connection: Connection, name: Name) -> frozenset[UUID]:
    """The ids of all of a credential's rotations."""
    return frozenset(connection.execute(_IDS, {"b_credential": name}).scalars())


def newest(connection: Connection, name: Name | None, limit: int) -> Sequence[Rotation]:
    """Rotations of one credential or of all, newest first."""
    statement = _NEWEST if name is None else _NEWEST_OF
    values = {"b_credential": name, "b_limit": limit}
    return [_rotation(row) for row in connection.execute(statement, values)]


def journal_of(connection: Connection, identity: UUID) -> Sequence[JournalEntry]:
    """A rotation's journal, oldest line first."""
    return [JournalEntry(*row) for row in connection.execute(_JOURNAL, {"b_id": identity})]


def history(connection: Connection, name: Name) -> Sequence[JournalEntry]:
    """The journals of all of a credential's rotations, oldest line first."""
    rows = connection.execute(_HISTORY, {"b_credential": name})
    return [JournalEntry(*row) for row in rows]


def versions_of(connection: Connection, name: Name) -> Sequence[Version]:
    """Every version of a credential, newest first."""
    return [Version(*row) for row in connection.execute(_VERSIONS, {"b_credential": name})]


def current_versions(connection: Connection) -> Mapping[Name, Version]:
    """What every credential's consumers should read now."""
    found = (Version(*row) for row in connection.execute(_CURRENT))
    return {one.credential: one for one in found}


def fingerprinted(connection: Connection) -> Sequence[Version]:
    """Every version of which the fingerprint is known."""
    return [Version(*row) for row in connection.execute(_FINGERPRINTED)]


def begin(tx: Transaction, change: Change, lease: Lease) -> None:
    """Insert a rotation; see `Ledger.begin`."""
    leases.hold(tx, lease)
    name = change.rotation.credential
    if name != lease.credential:
        raise LeaseLost(f"the lease is of {lease.credential}, not of {name}")
    require_none(tx, name)
    tx.connection.execute(_INSERT, {**_values(change.rotation, _ROW), "epoch": lease.epoch})
    _follow(tx, change, change.next_due_at)


def require_none(tx: Transaction, name: Name) -> None:
    """Make sure that no rotation of a credential is open.

    Raises:
        RotationOpen: One is.
    """
    if open_rotation(tx.connection, name) is not None:
        raise RotationOpen(f"a rotation of {name} is already open")


def move(tx: Transaction, change: Change, lease: Lease) -> None:
    """Write a move; see `SqlLedger.move`."""
    leases.hold(tx, lease)
    row = change.rotation
    values = {
        **_values(row, _MOVED),
        "b_id": row.id,
        "b_credential": lease.credential,
        "b_came_from": change.came_from,
        "b_epoch": lease.epoch,
        "b_clears": change.clears_request,
        "b_seen": row.request,
    }
    asked = tx.connection.execute(_MOVE, values).scalar_one_or_none()
    if asked is None:
        raise LeaseLost(f"the rotation {row.id} is no longer {change.came_from} under our epoch")
    due_at = change.next_due_at
    if row.open and asked not in (Request.NONE, row.request):
        due_at = tx.now
        tx.connection.execute(_CHANGE, {"b_id": row.id, "not_before": due_at})
    _follow(tx, change, due_at)


def ask(tx: Transaction, identity: UUID, request: Request, event: Event, now: datetime) -> None:
    """Write an operator's wish; see `Ledger.ask`."""
    found = tx.connection.execute(_LOCK, {"b_id": identity}).one_or_none()
    if found is None:
        raise UsageError(f"no rotation has the id {identity}")
    row = _rotation(found)
    if not row.open:
        raise NotAllowedNow(f"the rotation of {row.credential} has ended ({row.state})")
    wish = {"b_id": identity, "request": request, "not_before": now}
    tx.connection.execute(_CHANGE, wish)
    credentials.make_due(tx, row.credential, now)
    text, facts = f"{request} asked for by {event.actor}", {"request": request.value}
    _write_entry(tx, JournalEntry(now, identity, row.state, "requested", text, facts))
    tx.record(event)


def _follow(tx: Transaction, change: Change, due_at: datetime | None) -> None:
    """Everything that one move writes besides the rotation's own row."""
    row = change.rotation
    credentials.follow(tx, row.credential, due_at, rotation_open=row.open)
    if change.ends_credential:
        credentials.end(tx, row.credential)
    if change.versions:
        _PUT_VERSION.run(tx.connection, [_values(each, _VERSION) for each in change.versions])
        subjects.look_at_sharers(tx, row.credential, change.versions)
        leaks.settle(tx, row.credential, change.versions)
    if change.entry:
        _write_entry(tx, change.entry)
    if change.withdraws:
        alerts.withdraw(tx, change.withdraws)
    alerts.queue(tx, change.alerts)
    if change.wakes_copies:
        copies.wake(tx, row.credential, tx.now)
    if change.event:
        tx.record(change.event)


def _write_entry(tx: Transaction, entry: JournalEntry) -> None:
    tx.connection.execute(_WRITE_ENTRY, _values(entry, _ENTRY))


def _values(held: object, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(held, name) for name in names}


def _rotation(row: Sequence[Any]) -> Rotation:
    return Rotation(*row)
