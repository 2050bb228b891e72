"""What is known of each copy, and whose turn it is to be looked at."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    case,
    delete,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from credmgr.model.copy import Condition, Copy
from credmgr.model.credential import Credential, Place
from credmgr.model.names import Name
from credmgr.store.database import Database, Transaction
from credmgr.store.tables import copies
from credmgr.store.types import Moment

_FACTS: Final = (
    "condition",
    "version",
    "since",
    "reason",
    "token",
    "failures",
    "repairs",
    "repaired_at",
    "checked_at",
)
"""What a look writes; when to look next depends on what happened meanwhile."""

_ONE: Final = (
    copies.c.credential == bindparam("b_credential"),
    copies.c.backend == bindparam("b_backend"),
    copies.c.name == bindparam("b_name"),
)
_OF: Final = (
    select(copies)
    .where(copies.c.credential == bindparam("b_credential"))
    .order_by(copies.c.backend, copies.c.name)
)
_ALL: Final = select(copies).order_by(copies.c.credential, copies.c.backend, copies.c.name)
_NOT_CURRENT: Final = _ALL.where(copies.c.condition.not_in([Condition.CURRENT, Condition.UNSEEN]))
_BEHIND: Final = _OF.where(copies.c.version.is_distinct_from(bindparam("b_version")))
_FREE: Final = or_(
    copies.c.busy_until.is_(None), copies.c.busy_until <= bindparam("b_now", type_=Moment)
)
_DUE: Final = (
    select(copies)
    .where(copies.c.look_at <= bindparam("b_now", type_=Moment), _FREE)
    .order_by(copies.c.look_at)
    .limit(bindparam("b_limit"))
    .with_for_update(skip_locked=True)
)
_ANY_DUE: Final = (
    select(copies.c.credential)
    .where(copies.c.look_at <= bindparam("b_now", type_=Moment), _FREE)
    .limit(1)
)
_FREE_OF: Final = _OF.where(_FREE).with_for_update(skip_locked=True)
_CLAIM: Final = update(copies).where(*_ONE).values(busy_until=bindparam("b_until", type_=Moment))
_WAKE: Final = (
    update(copies)
    .where(copies.c.credential == bindparam("b_credential"))
    .values(look_at=bindparam("b_now", type_=Moment), woken=copies.c.woken + 1)
)
_WRITE: Final = (
    update(copies)
    .where(*_ONE)
    .values(
        busy_until=None,
        look_at=case(
            (copies.c.woken == bindparam("b_woken"), bindparam("b_next", type_=Moment)),
            else_=copies.c.look_at,
        ),
    )
)
_FORGET: Final = delete(copies).where(copies.c.credential == bindparam("b_credential"))


def declare(tx: Transaction, credential: Credential, now: datetime) -> None:
    """Know every copy that a credential declares, and no other; all are looked at now."""
    places = credential.places
    gone = _FORGET.where(
        ~or_(*(and_(copies.c.backend == p.backend, copies.c.name == p.name) for p in places))
    )
    tx.connection.execute(gone, {"b_credential": credential.name})
    rows = [_new(credential.name, place, now) for place in places]
    insert = sqlite.insert if tx.connection.dialect.name == "sqlite" else postgresql.insert
    tx.connection.execute(insert(copies).on_conflict_do_nothing(), rows)
    wake(tx, credential.name, now)


def wake(tx: Transaction, name: Name, now: datetime) -> None:
    """Look at every copy of a credential now: what it should hold is another thing than before."""
    tx.connection.execute(_WAKE, {"b_credential": name, "b_now": now})


def behind(connection: Connection, name: Name, version: UUID) -> Sequence[Place]:
    """The places that, as far as is known, hold another version of the credential."""
    values = {"b_credential": name, "b_version": version}
    return [_copy(row).place for row in connection.execute(_BEHIND, values)]


class CopyBook:
    """The copies, by transaction. Thread-safe; all methods may raise `StateUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, name: Name) -> Sequence[Copy]:
        """Every copy of one credential."""
        with self._database.read() as connection:
            return [_copy(row) for row in connection.execute(_OF, {"b_credential": name})]

    def everything(self) -> Sequence[Copy]:
        """Every copy of every credential, by name."""
        with self._database.read() as connection:
            return [_copy(row) for row in connection.execute(_ALL)]

    def unwell(self) -> Sequence[Copy]:
        """Those that were last found to be anything but current."""
        with self._database.read() as connection:
            return [_copy(row) for row in connection.execute(_NOT_CURRENT)]

    def claim(self, now: datetime, limit: int, hold: timedelta) -> Sequence[Copy]:
        """Take copies whose time has come; nobody else gets them before they are written or let go.

        Args:
            now: The present.
            limit: How many at most.
            hold: After how long another process may take what this one has not finished.
        """
        values = {"b_now": now, "b_limit": limit}
        with self._database.read() as connection:
            if connection.execute(_ANY_DUE, values).first() is None:
                return ()
        with self._database.write() as tx:
            return _taken(tx, _DUE, values, now + hold)

    def claim_of(self, name: Name, now: datetime, hold: timedelta) -> Sequence[Copy]:
        """Take every copy of a credential that nobody is at, due or not."""
        with self._database.write() as tx:
            return _taken(tx, _FREE_OF, {"b_credential": name, "b_now": now}, now + hold)

    def write(self, copy: Copy, *, next_look: datetime | None) -> None:
        """Write what a look found and let the copy go; one that was woken meanwhile stays due."""
        facts = {name: getattr(copy, name) for name in _FACTS}
        late: Mapping[str, Any] = {"b_woken": copy.woken, "b_next": next_look}
        with self._database.write() as tx:
            tx.connection.execute(_WRITE, {**_key(copy), **facts, **late})

    def forget(self, copy: Copy) -> None:
        """Know nothing of a copy any more: it was removed where it stood."""
        with self._database.write() as tx:
            tx.connection.execute(delete(copies).where(*_ONE), _key(copy))


def _taken(
    tx: Transaction, which: Select[Any], values: Mapping[str, Any], until: datetime
) -> Sequence[Copy]:
    found = [_copy(row) for row in tx.connection.execute(which, values)]
    if found:
        tx.connection.execute(_CLAIM, [{**_key(copy), "b_until": until} for copy in found])
    return found


def _key(copy: Copy) -> dict[str, Any]:
    return {
        "b_credential": copy.credential,
        "b_backend": copy.place.backend,
        "b_name": copy.place.name,
    }


def _new(credential: Name, place: Place, now: datetime) -> dict[str, Any]:
    fresh = Copy(credential, place)
    where = {"credential": credential, "backend": place.backend, "name": place.name}
    return {**where, **{name: getattr(fresh, name) for name in _FACTS}, "look_at": now, "woken": 0}


def _copy(row: Row[Any]) -> Copy:
    return Copy(
        credential=row.credential,
        place=Place(row.backend, row.name),
        look_at=row.look_at,
        woken=row.woken,
        **{name: getattr(row, name) for name in _FACTS},
    )
