"""Which daemons are alive."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, delete, select

from credmgr.store.database import Transaction
from credmgr.store.tables import heartbeats
from credmgr.store.types import Moment
from credmgr.store.upserts import Upsert, replacing


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life.

    Attributes:
        owner: The process, as in its leases.
        host: Where it runs.
        pid: Its process id there.
        version: credmgr's version.
        started_at: When it started.
        seen_at: When it last beat.
    """

    owner: str
    host: str
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime


_FORGOTTEN: Final = timedelta(days=7)
_FIELDS: Final = tuple(field.name for field in fields(Heartbeat))
_BEAT: Final = Upsert(heartbeats, ["owner"], replacing(*(n for n in _FIELDS if n != "owner")))
_FORGET: Final = delete(heartbeats).where(heartbeats.c.seen_at < bindparam("b_old", type_=Moment))
_STOP: Final = delete(heartbeats).where(heartbeats.c.owner == bindparam("b_owner"))
_ALL: Final = select(*(heartbeats.c[name] for name in _FIELDS)).order_by(
    heartbeats.c.seen_at.desc(), heartbeats.c.owner
)


def beat(tx: Transaction, sign: Heartbeat) -> None:
    """Note that a daemon is alive; those silent for a week are forgotten. Not audited."""
    _BEAT.run(tx.connection, [{name: getattr(sign, name) for name in _FIELDS}])
    tx.connection.execute(_FORGET, {"b_old": sign.seen_at - _FORGOTTEN})


def stop(tx: Transaction, owner: str) -> None:
    """Forget a daemon that ended in order. Not audited."""
    tx.connection.execute(_STOP, {"b_owner": owner})


def listed(connection: Connection) -> Sequence[Heartbeat]:
    """Every daemon, the one heard last first."""
    return [Heartbeat(*row) for row in connection.execute(_ALL)]
