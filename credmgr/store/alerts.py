"""The outbox: alerts that wait for a notifier, surviving restarts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, bindparam, delete, select, text, update

from credmgr.model.audit import Event
from credmgr.model.finding import Alert
from credmgr.store import codec
from credmgr.store.database import Transaction
from credmgr.store.tables import alerts
from credmgr.store.types import Moment
from credmgr.store.upserts import Upsert, replacing

# a replaced alert takes a new id, so that a delivery of the old text does not count for the new
# one; it keeps its attempts and its place in the queue, so that replacing does not undo a backoff
_QUEUE: Final = Upsert(
    alerts, ["key"], replacing("id", "body", "created_at"), where=text("delivered_at IS NULL")
)
_PENDING: Final = (
    select(alerts)
    .where(
        alerts.c.delivered_at.is_(None),
        alerts.c.deliver_after <= bindparam("b_now", type_=Moment),
    )
    .order_by(alerts.c.deliver_after, alerts.c.key)
    .limit(bindparam("b_limit"))
)
_ONE_PENDING: Final = (
    update(alerts)
    .where(alerts.c.id == bindparam("b_id"), alerts.c.delivered_at.is_(None))
    .returning(alerts.c.key, alerts.c.attempts)
)
_FAILED: Final = _ONE_PENDING.values(attempts=alerts.c.attempts + 1)


@dataclass(frozen=True, slots=True)
class PendingAlert:
    """An alert that nobody has been told yet.

    Attributes:
        id: By which its delivery is reported.
        alert: What to tell.
        attempts: Deliveries that have failed so far.
    """

    id: UUID
    alert: Alert
    attempts: int


def queue(tx: Transaction, raised: Sequence[Alert]) -> None:
    """Put alerts into the outbox; one whose key is still waiting there replaces it."""
    by_key = {alert.key: alert for alert in raised}
    rows = [
        {
            "id": uuid4(),
            "key": alert.key,
            "body": codec.alert_body(alert),
            "created_at": alert.at,
            "deliver_after": alert.at,
            "attempts": 0,
            "delivered_at": None,
        }
        for _, alert in sorted(by_key.items())  # in one order, or two writers wait in a circle
    ]
    if rows:
        _QUEUE.run(tx.connection, rows)


def withdraw(tx: Transaction, prefix: str) -> None:
    """Take out what still waits and whose key begins with `prefix`: it is true no more."""
    waiting = alerts.c.key.startswith(prefix, autoescape=True) & alerts.c.delivered_at.is_(None)
    tx.connection.execute(delete(alerts).where(waiting))


def pending(connection: Connection, now: datetime, limit: int) -> Sequence[PendingAlert]:
    """Alerts whose time has come, longest waiting first."""
    rows = connection.execute(_PENDING, {"b_now": now, "b_limit": limit})
    return [PendingAlert(row.id, codec.alert(row.body), row.attempts) for row in rows]


def delivered(tx: Transaction, identity: UUID, now: datetime) -> None:
    """Take an alert out; one that was replaced meanwhile stays for its new text."""
    row = tx.connection.execute(_ONE_PENDING, {"b_id": identity, "delivered_at": now}).one_or_none()
    if row is not None:
        tx.record(Event(tx.owner, "alert.delivered", row.key))


def failed(tx: Transaction, identity: UUID, now: datetime, retry_at: datetime) -> None:
    """Try an alert again at `retry_at`."""
    row = tx.connection.execute(
        _FAILED, {"b_id": identity, "deliver_after": retry_at}
    ).one_or_none()
    if row is not None:
        facts = {
            "attempts": str(row.attempts),
            "at": codec.moment_text(now),
            "retry_at": codec.moment_text(retry_at),
        }
        tx.record(Event(tx.owner, "alert.failed", row.key, facts))
