"""By which bearers consumers are let in; what is kept of each is a hash."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from credmgr.model.audit import Event
from credmgr.model.consumer import Bearer
from credmgr.model.names import Name
from credmgr.store.codec import moment_text
from credmgr.store.database import Transaction
from credmgr.store.tables import bearers
from credmgr.store.types import Moment

_FIELDS: Final = tuple(field.name for field in fields(Bearer))
_NEVER: Final = bearers.c.expires_at.is_(None)
_LIVE: Final = (
    select(*(bearers.c[name] for name in _FIELDS))
    .where(or_(_NEVER, bearers.c.expires_at > bindparam("b_now", type_=Moment)))
    .order_by(bearers.c.issued_at.desc(), bearers.c.digest)
)
_FORGET: Final = delete(bearers).where(bearers.c.expires_at <= bindparam("b_now", type_=Moment))
_END: Final = update(bearers).where(
    bearers.c.consumer == bindparam("b_consumer"),
    or_(_NEVER, bearers.c.expires_at > bindparam("b_end", type_=Moment)),
)
_TAKE: Final = delete(bearers).where(bearers.c.consumer == bindparam("b_consumer"))


def live(connection: Connection, now: datetime) -> Sequence[Bearer]:
    """Those that have not ended, newest first."""
    return [Bearer(*row) for row in connection.execute(_LIVE, {"b_now": now})]


def give(tx: Transaction, bearer: Bearer, overlap: timedelta, actor: str) -> None:
    """A new one; the consumer's others end after `overlap` at the latest."""
    end = bearer.issued_at + overlap
    tx.connection.execute(_FORGET, {"b_now": bearer.issued_at})
    ending = tx.connection.execute(
        _END, {"b_consumer": bearer.consumer, "b_end": end, "expires_at": end}
    ).rowcount
    tx.connection.execute(insert(bearers), {name: getattr(bearer, name) for name in _FIELDS})
    facts = {"others_end_at": moment_text(end)} if ending else {}
    tx.record(Event(actor, "consumer.let_in", bearer.consumer, facts))


def take(tx: Transaction, consumer: Name, actor: str) -> int:
    """End all of a consumer's; how many there were."""
    count = tx.connection.execute(_TAKE, {"b_consumer": consumer}).rowcount
    if count:
        tx.record(Event(actor, "consumer.shut_out", consumer, {"bearers": str(count)}))
    return count
