"""The outbox: what is raised, how each channel is doing, and the messages on their way.

A channel is claimed for the time of a delivery, by compare and set; so several daemons share the
work and none sends what another one does. A message that was sent by a process which died before
it could say so is sent again, under the same id.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, delete, func, insert, or_, select, update

from credmgr.model.audit import Event
from credmgr.model.finding import Alert
from credmgr.model.names import Name
from credmgr.model.outbox import ChannelState, Message
from credmgr.store import codec
from credmgr.store.alerts import FLAPPING, lock
from credmgr.store.database import Database, Transaction
from credmgr.store.desk import DUE, Desk
from credmgr.store.leases import NOBODY
from credmgr.store.tables import alerts, channels, messages, tellings
from credmgr.store.types import Moment

KEPT: Final = timedelta(days=7)
"""Messages are forgotten after this time, delivered or not."""

_ALL: Final = select(alerts.c.body, alerts.c.open).order_by(alerts.c.key)
_UNROUTED: Final = select(alerts.c.key).where(alerts.c.unrouted.is_not(None)).limit(1)
_FREE: Final = (channels.c.retry_at <= bindparam("b_now", type_=Moment)) & or_(
    channels.c.owner == NOBODY, channels.c.until <= bindparam("b_now", type_=Moment)
)
_TO_SEND: Final = (
    select(messages.c.channel)
    .outerjoin(channels, channels.c.name == messages.c.channel)
    .where(
        messages.c.due_at <= bindparam("b_now", type_=Moment),
        or_(channels.c.name.is_(None), _FREE),
    )
    .distinct()
)
_OF: Final = channels.c.name == bindparam("b_name")
_KNOWN: Final = select(channels.c.name).where(_OF)
_CLAIM: Final = (
    update(channels)
    .where(_OF, or_(_FREE, channels.c.owner == bindparam("b_owner")))
    .returning(channels.c.attempts)
)
_MINE: Final = update(channels).where(_OF, channels.c.owner == bindparam("b_owner"))
_RELEASE: Final = _MINE.values(owner=NOBODY)
_FAILED: Final = (
    update(channels)
    .where(_OF)
    .values(attempts=channels.c.attempts + 1)
    .returning(channels.c.attempts)
)
_WAITING: Final = (
    select(messages)
    .where(
        messages.c.channel == bindparam("b_name"),
        messages.c.due_at <= bindparam("b_now", type_=Moment),
    )
    .order_by(messages.c.created_at, messages.c.id)
    .limit(bindparam("b_limit"))
)
_MESSAGE: Final = update(messages).where(
    messages.c.id == bindparam("b_id"), messages.c.due_at.is_not(None)
)
_COUNTS: Final = (
    select(messages.c.channel, func.count())
    .where(messages.c.due_at.is_not(None))
    .group_by(messages.c.channel)
)
_OLD: Final = messages.c.created_at < bindparam("b_old", type_=Moment)
_LATE: Final = select(messages.c.id, messages.c.channel).where(_OLD, messages.c.due_at.is_not(None))
_PENDING: Final = select(tellings.c.key).where(
    tellings.c.key == alerts.c.key, tellings.c.due_at.is_not(None)
)
_OVER: Final = delete(alerts).where(
    alerts.c.ended_at < bindparam("b_over", type_=Moment),
    ~alerts.c.open,
    alerts.c.unrouted.is_(None),
    ~_PENDING.exists(),
)
_ORPHANS: Final = delete(tellings).where(tellings.c.key.not_in(select(alerts.c.key)))


class Outbox:
    """Alerts on their way to people. Thread-safe; raises as the ledger does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_alerts(self) -> Sequence[Alert]:
        """Every alert that is still true, or that happened within a day, by key."""
        with self._database.read() as connection:
            known = [(codec.alert(row.body), row.open) for row in connection.execute(_ALL)]
        return [alert for alert, is_open in known if is_open or alert.once]

    def has_news(self, now: datetime) -> bool:
        """Whether an alert is to be routed, or a message to be written."""
        with self._database.read() as connection:
            return (
                connection.execute(_UNROUTED).first() is not None
                or connection.execute(DUE.limit(1), {"b_now": now}).first() is not None
            )

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        """A transaction in which alerts become messages; one at a time, whatever the process."""
        with self._database.write() as tx:
            lock(tx)
            yield Desk(tx)

    def to_send(self, now: datetime) -> Sequence[Name]:
        """Channels that have something to deliver now and that nobody is at."""
        with self._database.read() as connection:
            return sorted(connection.execute(_TO_SEND, {"b_now": now}).scalars())

    def claim(self, channel: Name, now: datetime, ttl: timedelta) -> int | None:
        """Take a channel for oneself, or keep it.

        Returns:
            Deliveries in a row that have failed; None when it is another's or not to be tried yet.
        """
        with self._database.write() as tx:
            given = {"b_name": channel, "b_owner": tx.owner, "b_now": now}
            if tx.connection.execute(_KNOWN, {"b_name": channel}).first() is None:
                lock(tx)
                _introduce(tx, channel, now)
            taken = {"owner": tx.owner, "until": now + ttl}
            found: int | None = tx.connection.execute(
                _CLAIM, {**given, **taken}
            ).scalar_one_or_none()
            return found

    def release(self, channel: Name) -> None:
        """Let go of a channel; one that is another's by now is left alone."""
        with self._database.write() as tx:
            tx.connection.execute(_RELEASE, {"b_name": channel, "b_owner": tx.owner})

    def waiting(self, channel: Name, now: datetime, limit: int) -> Sequence[Message]:
        """A channel's messages to deliver now, oldest first."""
        given = {"b_name": channel, "b_now": now, "b_limit": limit}
        with self._database.read() as connection:
            return [
                Message(row.id, row.channel, row.batch, codec.alert(row.body), row.attempts)
                for row in connection.execute(_WAITING, given)
            ]

    def delivered(self, message: Message, now: datetime) -> None:
        """A channel took a message, so it works."""
        with self._database.write() as tx:
            tx.connection.execute(_MESSAGE, {"b_id": message.id, "due_at": None})
            works = {"attempts": 0, "why": "", "delivered_at": now}
            tx.connection.execute(update(channels).where(_OF), {"b_name": message.channel, **works})
            tx.record(_event(tx, "alert.delivered", message))

    def failed(self, message: Message, why: str, now: datetime, retry_at: datetime) -> None:
        """A channel does not answer: all that it has waits until `retry_at`."""
        with self._database.write() as tx:
            given = {"b_name": message.channel, "why": why, "retry_at": retry_at}
            attempts = tx.connection.execute(_FAILED, given).scalar_one()
            facts = {"attempts": str(attempts), "at": codec.moment_text(now)}
            facts["retry_at"] = codec.moment_text(retry_at)
            tx.record(_event(tx, "alert.failed", message, **facts))

    def refused(self, message: Message, why: str, retry_at: datetime | None) -> None:
        """A channel does not want a message: try that one again later, or never."""
        with self._database.write() as tx:
            later = {"due_at": retry_at, "attempts": message.attempts + 1}
            tx.connection.execute(_MESSAGE, {"b_id": message.id, **later})
            given = {"b_name": message.channel, "why": why}
            tx.connection.execute(_FAILED, given)
            action = "alert.dropped" if retry_at is None else "alert.refused"
            tx.record(_event(tx, action, message, attempts=str(message.attempts + 1)))

    def states(self, names: Sequence[Name]) -> Sequence[ChannelState]:
        """How channels are doing."""
        with self._database.read() as connection:
            waiting: dict[Name, int] = {row[0]: row[1] for row in connection.execute(_COUNTS)}
            rows = {row.name: row for row in connection.execute(select(channels))}
        return [_state(name, waiting.get(name, 0), rows.get(name)) for name in names]

    def forget(self, now: datetime) -> None:
        """Delete what nobody needs any more; a message that was never taken is noted."""
        with self._database.write() as tx:
            lock(tx)
            old = {"b_old": now - KEPT}
            for identity, channel in tx.connection.execute(_LATE, old):
                facts = {"message": str(identity), "why": "too old"}
                tx.record(Event(tx.owner, "alert.dropped", channel, facts))
            tx.connection.execute(delete(messages).where(_OLD), old)
            tx.connection.execute(_OVER, {"b_over": now - FLAPPING})
            tx.connection.execute(_ORPHANS)


def _introduce(tx: Transaction, channel: Name, now: datetime) -> None:
    """Give a channel its row; under the lock, or two would."""
    if tx.connection.execute(_KNOWN, {"b_name": channel}).first() is None:
        values: dict[str, Any] = {"name": channel, "attempts": 0, "why": "", "owner": NOBODY}
        tx.connection.execute(insert(channels), {**values, "retry_at": now, "until": now})


def _state(name: Name, waiting: int, row: Any) -> ChannelState:
    if row is None:
        return ChannelState(name, waiting)
    retry_at = row.retry_at if row.attempts else None
    return ChannelState(name, waiting, row.attempts, retry_at, row.delivered_at, row.why)


def _event(tx: Transaction, action: str, message: Message, **facts: str) -> Event:
    told = {"channel": message.channel, "message": str(message.id), **facts}
    return Event(tx.owner, action, message.alert.key, told)
