"""Where alerts become messages: one transaction at a time, so that none is told twice."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete, exists, func, insert, or_, select, update

from credmgr.model.names import Name
from credmgr.model.outbox import Message, Raised, Telling
from credmgr.store import codec
from credmgr.store.alerts import raised, rows_of
from credmgr.store.database import Transaction
from credmgr.store.tables import alerts, findings, messages, tellings
from credmgr.store.types import Moment
from credmgr.store.upserts import Upsert, replacing

_FIELDS: Final = tuple(field.name for field in fields(Telling))
_COLUMNS: Final = tuple(tellings.c[name] for name in _FIELDS)
_UNROUTED: Final = (
    select(alerts)
    .where(alerts.c.unrouted.is_not(None))
    .order_by(alerts.c.unrouted, alerts.c.key)
    .limit(bindparam("b_limit"))
)
_ROUTED: Final = update(alerts).where(alerts.c.key == bindparam("b_key")).values(unrouted=None)
_PUT: Final = Upsert(
    tellings, ["channel", "key"], replacing(*(n for n in _FIELDS if n not in ("channel", "key")))
)
_DROP: Final = delete(tellings).where(
    tellings.c.channel == bindparam("b_channel"), tellings.c.key == bindparam("b_key")
)
_ON_ITS_WAY: Final = exists().where(
    messages.c.channel == tellings.c.channel,
    messages.c.batch == tellings.c.batch,
    messages.c.due_at.is_not(None),
)
DUE: Final = (
    select(tellings.c.channel, tellings.c.batch)
    .where(tellings.c.due_at <= bindparam("b_now", type_=Moment), ~_ON_ITS_WAY)
    .distinct()
    .order_by(tellings.c.channel, tellings.c.batch)
)
_MEMBERS: Final = (
    select(*_COLUMNS)
    .where(
        tellings.c.channel == bindparam("b_channel"),
        tellings.c.batch == bindparam("b_batch"),
        tellings.c.ready_at <= bindparam("b_now", type_=Moment),
    )
    .order_by(tellings.c.ready_at, tellings.c.key)
    .limit(bindparam("b_limit"))
)
_WAITS: Final = select(func.min(tellings.c.due_at)).where(
    tellings.c.channel == bindparam("b_channel"),
    tellings.c.batch == bindparam("b_batch"),
    tellings.c.due_at.is_not(None),
)
_LAST: Final = select(func.max(messages.c.created_at)).where(
    messages.c.channel == bindparam("b_channel"), messages.c.batch == bindparam("b_batch")
)
_ACKNOWLEDGED: Final = select(findings.c.key).where(
    findings.c.resolved_at.is_(None),
    or_(
        findings.c.acknowledged_by != "",
        findings.c.snoozed_until > bindparam("b_now", type_=Moment),
    ),
)


class Desk:
    """An open transaction in which alerts are routed and messages are written."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._run = tx.connection.execute

    def unrouted(self, limit: int) -> Sequence[Raised]:
        """Alerts that are news, longest waiting first."""
        return [raised(row) for row in self._run(_UNROUTED, {"b_limit": limit})]

    def routed(self, keys: Iterable[str]) -> None:
        """They are news no more."""
        self._run(_ROUTED, [{"b_key": key} for key in keys])

    def known(self, keys: Iterable[str]) -> Sequence[Telling]:
        """What every channel knows of these alerts."""
        return [_telling(row) for row in rows_of(self._tx, keys, tellings)]

    def raised(self, keys: Iterable[str]) -> Mapping[str, Raised]:
        """These alerts as they are now."""
        return {row.key: raised(row) for row in rows_of(self._tx, keys)}

    def last(self, channel: Name, batch: str) -> datetime | None:
        """When the last message of a batch was written."""
        moment: datetime | None = self._run(_LAST, _batch(channel, batch)).scalar_one()
        return moment

    def leaves(self, channel: Name, batch: str) -> datetime | None:
        """When the next message of a batch leaves, as far as is known."""
        moment: datetime | None = self._run(_WAITS, _batch(channel, batch)).scalar_one()
        return moment

    def due(self, now: datetime) -> Sequence[tuple[Name, str]]:
        """Channel and batch of what is to leave now; one message of each is on its way at most."""
        return [(row.channel, row.batch) for row in self._run(DUE, {"b_now": now})]

    def members(self, channel: Name, batch: str, now: datetime, limit: int) -> Sequence[Telling]:
        """What a message of a batch may tell now, longest waiting first."""
        given = {**_batch(channel, batch), "b_now": now, "b_limit": limit}
        return [Telling(*row) for row in self._run(_MEMBERS, given)]

    def acknowledged(self, keys: Iterable[str]) -> frozenset[str]:
        """Those of these alerts whose finding somebody has seen, or has put off."""
        wanted = frozenset(keys)
        if not wanted:
            return wanted
        return wanted & frozenset(self._run(_ACKNOWLEDGED, {"b_now": self._tx.now}).scalars())

    def put(self, known: Sequence[Telling]) -> None:
        """Write what channels know, and when they hear of it next."""
        if known:
            values = [{name: getattr(one, name) for name in _FIELDS} for one in known]
            _PUT.run(self._tx.connection, values)

    def drop(self, known: Sequence[Telling]) -> None:
        """Forget what channels know: there is nothing more to tell."""
        if known:
            self._run(_DROP, [{"b_channel": one.channel, "b_key": one.key} for one in known])

    def post(self, message: Message, now: datetime) -> None:
        """Put a message on its way."""
        values: dict[str, Any] = {
            "id": message.id,
            "channel": message.channel,
            "batch": message.batch,
            "body": codec.alert_body(message.alert),
            "created_at": now,
            "due_at": now,
            "attempts": 0,
        }
        self._run(insert(messages), values)


def _telling(row: Any) -> Telling:
    return Telling(*(getattr(row, name) for name in _FIELDS))


def _batch(channel: Name, batch: str) -> dict[str, Any]:
    return {"b_channel": channel, "b_batch": batch}
