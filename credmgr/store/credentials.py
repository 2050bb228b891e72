"""Credentials as declared, and when to look at each next."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Boolean, Connection, Row, bindparam, case, insert, or_, select, update

from credmgr.errors import UnknownCredential
from credmgr.model.audit import Event
from credmgr.model.credential import Credential, CredentialStatus, Enrolled, Place
from credmgr.model.names import Name
from credmgr.store import codec, copies
from credmgr.store.database import Transaction
from credmgr.store.leases import NOBODY
from credmgr.store.tables import credentials, leases, meta, open_only, rotations
from credmgr.store.types import Moment

ENROLLING: Final = "enrolling"
"""The row of `meta` that is locked to enrol, so that two do not insert one name."""

_ONE: Final = select(credentials).where(credentials.c.name == bindparam("b_name"))
_ALL: Final = select(credentials).order_by(credentials.c.name)
_LOCK_ALL: Final = _ALL.with_for_update()
_ENROL_LOCK: Final = select(meta.c.key).where(meta.c.key == ENROLLING).with_for_update()
DUE: Final = (
    select(credentials.c.name)
    .join(leases, leases.c.credential == credentials.c.name)
    .where(
        credentials.c.next_due_at <= bindparam("b_now", type_=Moment),
        or_(
            leases.c.owner == NOBODY,
            leases.c.until <= bindparam("b_now", type_=Moment),
        ),
    )
    .order_by(credentials.c.next_due_at, credentials.c.name)
    .limit(bindparam("b_limit"))
)
_OPEN_NAMES: Final = select(rotations.c.credential).where(open_only)
_INSERT: Final = insert(credentials)
_INSERT_LEASE: Final = insert(leases)
_CHANGE: Final = update(credentials).where(credentials.c.name == bindparam("b_name"))
_POSTPONE: Final = _CHANGE.where(
    credentials.c.next_due_at.is_distinct_from(bindparam("b_until", type_=Moment))
)
_FOLLOW: Final = _CHANGE.values(
    next_due_at=case(
        (
            or_(
                credentials.c.status == CredentialStatus.ACTIVE, bindparam("b_open", type_=Boolean)
            ),
            bindparam("b_due", type_=Moment),
        ),
        else_=None,
    )
)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What enrolling changed; all empty when nothing did.

    Attributes:
        added: Names that were not known before.
        updated: Known ones with another declaration now.
        revived: Retired or revoked ones that are active again.
        retired: Active ones that are no longer rotated.
    """

    added: tuple[Name, ...] = ()
    updated: tuple[Name, ...] = ()
    revived: tuple[Name, ...] = ()
    retired: tuple[Name, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return bool(self.added or self.updated or self.revived or self.retired)


def enrolled(connection: Connection, name: Name) -> Enrolled:
    """One credential as last applied; see `Ledger.enrolled`."""
    row = connection.execute(_ONE, {"b_name": name}).one_or_none()
    if row is None:
        raise UnknownCredential(f"no credential is called {name}")
    return _enrolled(row)


def all_enrolled(connection: Connection) -> Sequence[Enrolled]:
    """Every credential by name, retired ones as well."""
    return [_enrolled(row) for row in connection.execute(_ALL)]


def due(connection: Connection, now: datetime, limit: int) -> Sequence[Name]:
    """Names whose time has come and that nobody holds."""
    values = {"b_now": now, "b_limit": limit}
    return connection.execute(DUE, values).scalars().all()


def postpone(tx: Transaction, name: Name, until: datetime | None) -> None:
    """Set when to look at a credential next; the same time again writes nothing."""
    values = {"b_name": name, "b_until": until, "next_due_at": until}
    if tx.connection.execute(_POSTPONE, values).rowcount:
        facts = {"until": codec.moment_text(until) if until else "never"}
        tx.record(Event(tx.owner, "credential.postponed", name, facts))


def follow(tx: Transaction, name: Name, due_at: datetime | None, *, rotation_open: bool) -> None:
    """Set when to look next after a move, and have rules look at once.

    A credential that was retired meanwhile stays so.
    """
    due = {"b_open": rotation_open, "b_due": due_at}
    tx.connection.execute(_FOLLOW, {"b_name": name, "next_look_at": tx.now, **due})


def make_due(tx: Transaction, name: Name, now: datetime) -> None:
    """Look at it next at once."""
    tx.connection.execute(_CHANGE, {"b_name": name, "next_due_at": now})


def end(tx: Transaction, name: Name) -> None:
    """Its last secret is gone."""
    gone = {"status": CredentialStatus.REVOKED, "next_due_at": None}
    tx.connection.execute(_CHANGE, {"b_name": name, **gone})


def rehome(tx: Transaction, name: Name, place: Place) -> None:
    """Make a place a credential's store, and no target of it any more."""
    before = enrolled(tx.connection, name).credential
    targets = tuple(target for target in before.targets if target.place != place)
    after = replace(before, store=place, targets=targets)
    tx.connection.execute(_CHANGE, {"b_name": name, "declaration": codec.declaration(after)})
    copies.declare(tx, after, tx.now)


def enrol(
    tx: Transaction,
    declared: Iterable[Credential],
    retire: Iterable[Name],
    actor: str,
    now: datetime,
) -> Enrolment:
    """Make the declared credentials known and retire others; see `SqlLedger.enrol`."""
    tx.connection.execute(_ENROL_LOCK).all()
    known = {row.name: row for row in tx.connection.execute(_LOCK_ALL)}
    each = tuple(declared)
    wanted = {one.name: codec.declaration(one) for one in each}
    added = sorted(wanted.keys() - known.keys())
    _add(tx, {name: wanted[name] for name in added}, now)
    rest = sorted(wanted.keys() & known.keys())
    revived = [name for name in rest if known[name].status is not CredentialStatus.ACTIVE]
    updated = [
        name for name in rest if name not in revived and known[name].declaration != wanted[name]
    ]
    _declare(tx, {name: wanted[name] for name in revived + updated}, now)
    for one in each:
        if one.name in (*added, *revived, *updated):
            copies.declare(tx, one, now)
    leave = sorted(
        name
        for name in set(retire) - wanted.keys()
        if name in known and known[name].status is CredentialStatus.ACTIVE
    )
    _retire(tx, leave, now)
    _tell(tx, actor, "added", [(name, {}) for name in added])
    _tell(tx, actor, "revived", [(name, {}) for name in revived])
    _tell(tx, actor, "updated", [(n, _fields(known[n].declaration, wanted[n])) for n in updated])
    for name in leave:
        tx.record(Event(actor, "credential.retired", name))
    return Enrolment(tuple(added), tuple(updated), tuple(revived), tuple(leave))


def _fields(before: str, after: str) -> Mapping[str, str]:
    return {"fields": ",".join(codec.changed_fields(before, after))}


def _tell(
    tx: Transaction, actor: str, change: str, each: Iterable[tuple[Name, Mapping[str, str]]]
) -> None:
    for name, facts in each:
        tx.record(Event(actor, "credential.applied", name, {"change": change, **facts}))


def _add(tx: Transaction, wanted: Mapping[Name, str], now: datetime) -> None:
    if not wanted:
        return
    state = {
        "status": CredentialStatus.ACTIVE,
        "applied_at": now,
        "next_due_at": now,
        "next_look_at": now,
    }
    rows = [{"name": name, "declaration": text, **state} for name, text in wanted.items()]
    tx.connection.execute(_INSERT, rows)
    nobody = {"owner": NOBODY, "epoch": 0, "until": None}
    tx.connection.execute(_INSERT_LEASE, [{"credential": name, **nobody} for name in wanted])


def _declare(tx: Transaction, wanted: Mapping[Name, str], now: datetime) -> None:
    if not wanted:
        return
    state = {
        "status": CredentialStatus.ACTIVE,
        "applied_at": now,
        "next_due_at": now,
        "next_look_at": now,
    }
    rows = [{"b_name": name, "declaration": text, **state} for name, text in wanted.items()]
    tx.connection.execute(_CHANGE, rows)


def _retire(tx: Transaction, names: Sequence[Name], now: datetime) -> None:
    busy = set(tx.connection.execute(_OPEN_NAMES).scalars()) if names else set()
    for name in names:
        rest: dict[str, Any] = {} if name in busy else {"next_due_at": None}
        retired = {"b_name": name, "status": CredentialStatus.RETIRED, "next_look_at": now, **rest}
        tx.connection.execute(_CHANGE, retired)


def _enrolled(row: Row[Any]) -> Enrolled:
    return Enrolled(codec.credential(row.declaration), row.status, row.applied_at, row.next_due_at)
