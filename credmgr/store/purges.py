"""Wishes that tokens be dropped everywhere, and which processes have done so."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select

from credmgr.model.names import Name
from credmgr.model.purge import Purge
from credmgr.store.database import Transaction
from credmgr.store.tables import purge_receipts, purges
from credmgr.store.types import Moment
from credmgr.store.upserts import Upsert, replacing

KEPT: Final = timedelta(days=7)
"""Longer than any token lives that could still be in some process's memory."""
_SINCE: Final = (
    select(purges.c.id, purges.c.credential, purges.c.asked_at)
    .where(purges.c.id > bindparam("b_after"))
    .order_by(purges.c.id)
)
_RECEIPT: Final = Upsert(purge_receipts, ["purge", "owner"], replacing("at"))
_OWNERS: Final = select(purge_receipts.c.owner).where(
    purge_receipts.c.purge == bindparam("b_purge")
)
_OLD: Final = purges.c.asked_at < bindparam("b_old", type_=Moment)
_FORGET: Final = (
    delete(purge_receipts).where(purge_receipts.c.purge.in_(select(purges.c.id).where(_OLD))),
    delete(purges).where(_OLD),
)


def ask(tx: Transaction, credential: Name, now: datetime) -> Purge:
    """Enter a wish; those of last week are forgotten."""
    for statement in _FORGET:
        tx.connection.execute(statement, {"b_old": now - KEPT})
    row = insert(purges).values(credential=credential, asked_at=now).returning(purges.c.id)
    return Purge(tx.connection.execute(row).scalar_one(), credential, now)


def since(connection: Connection, after: int) -> Sequence[Purge]:
    """Wishes above an id, oldest first."""
    return [Purge(*row) for row in connection.execute(_SINCE, {"b_after": after})]


def acknowledge(tx: Transaction, done: Sequence[Purge]) -> None:
    """Note that this process has dropped the tokens. Not audited."""
    rows = [{"purge": one.id, "owner": tx.owner, "at": tx.now} for one in done]
    _RECEIPT.run(tx.connection, rows)


def owners(connection: Connection, purge: int) -> frozenset[str]:
    """The processes that have acknowledged a wish."""
    return frozenset(connection.execute(_OWNERS, {"b_purge": purge}).scalars())
