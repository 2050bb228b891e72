"""Which consumer used which version of which credential, for what scopes, when, how often."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, bindparam, case, exists, or_, select

from credmgr.model.names import Name
from credmgr.model.usage import Usage
from credmgr.store import subjects
from credmgr.store.database import Transaction
from credmgr.store.tables import usage
from credmgr.store.types import Moment
from credmgr.store.upserts import Upsert

_FIELDS: Final = tuple(field.name for field in fields(Usage))
_KEY: Final = ("credential", "consumer", "version", "scopes")


def _added(new: Any) -> Mapping[str, Any]:
    first, last = usage.c.first_seen, usage.c.last_seen
    return {
        "first_seen": case((new.first_seen < first, new.first_seen), else_=first),
        "last_seen": case((new.last_seen > last, new.last_seen), else_=last),
        "count": usage.c.count + new["count"],
    }


_RECORD: Final = Upsert(usage, _KEY, _added)
_OF: Final = (
    select(*(usage.c[name] for name in _FIELDS))
    .where(usage.c.credential == bindparam("b_credential"))
    .order_by(usage.c.consumer, usage.c.last_seen.desc())
)
_later: Final = usage.alias("later")
_CONSUMERS_ON: Final = (
    select(usage.c.consumer)
    .where(
        usage.c.version == bindparam("b_version"),
        or_(
            usage.c.scopes == frozenset(),
            usage.c.last_seen > bindparam("b_since", type_=Moment),
        ),
        ~exists().where(
            _later.c.credential == usage.c.credential,
            _later.c.consumer == usage.c.consumer,
            _later.c.version != usage.c.version,
            _later.c.last_seen > usage.c.last_seen,
        ),
    )
    .distinct()
    .order_by(usage.c.consumer)
)


def record(tx: Transaction, batch: Iterable[Usage]) -> None:
    """Add uses to what is known. Not audited: these are counts, not deeds."""
    rows = [{name: getattr(use, name) for name in _FIELDS} for use in batch]
    rows.sort(key=lambda row: (*(row[name] for name in _KEY[:3]), sorted(row["scopes"])))
    if rows:
        asking = (row["credential"] for row in rows if row["scopes"])
        subjects.look_at_used(tx, (row["credential"] for row in rows), asking)
        _RECORD.run(tx.connection, rows)


def of(connection: Connection, credential: Name) -> Sequence[Usage]:
    """Every use of a credential, by consumer, newest first."""
    rows = connection.execute(_OF, {"b_credential": credential})
    return [Usage(*row) for row in rows]


def consumers_on(connection: Connection, version: UUID, since: datetime) -> Sequence[Name]:
    """Consumers still on a version; see `Ledger.consumers_on`."""
    values = {"b_version": version, "b_since": since}
    return connection.execute(_CONSUMERS_ON, values).scalars().all()
