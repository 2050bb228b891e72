"""Alerts as they are raised, change and end; what anybody is told of them follows later."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Row, Table, bindparam, insert, select, update

from credmgr.model.finding import Alert
from credmgr.model.outbox import Raised
from credmgr.store import codec
from credmgr.store.database import Transaction
from credmgr.store.tables import alerts, meta
from credmgr.store.types import KeyText

RAISING: Final = "alerts"
"""The row of `meta` that is locked to raise, route and group alerts: one at a time."""
FLAPPING: Final = timedelta(days=1)
"""An alert that comes back within this time of its end is flapping."""
AT_ONCE: Final = 500
"""Keys in one statement; SQLite took 999 parameters at most before 3.32."""

_LOCK: Final = select(meta.c.key).where(meta.c.key == RAISING).with_for_update()
_INSERT: Final = insert(alerts)
_CHANGED: Final = ("body", "digest", "open", "flaps", "changed_at", "ended_at", "unrouted")
_CHANGE: Final = (
    update(alerts)
    .where(alerts.c.key == bindparam("b_key"))
    .values({name: bindparam(name) for name in _CHANGED})
)
_END: Final = (
    update(alerts)
    .where(alerts.c.key.in_(bindparam("b_keys", expanding=True)), alerts.c.open)
    .values(open=False)
)
_OPEN_BETWEEN: Final = select(alerts.c.key).where(
    alerts.c.key >= bindparam("b_from", type_=KeyText),
    alerts.c.key < bindparam("b_to", type_=KeyText),
    alerts.c.open,
)


def lock(tx: Transaction) -> None:
    """Keep everybody else from raising, routing and grouping until the commit."""
    tx.connection.execute(_LOCK).all()


def queue(tx: Transaction, raised: Sequence[Alert]) -> None:
    """Raise alerts, or change those of the same keys; one that is `resolved` ends."""
    if not raised:
        return
    lock(tx)
    by_key = {alert.key: alert for alert in raised}
    known = {row.key: row for row in rows_of(tx, by_key)}
    fresh, changed = [], []
    for key, alert in by_key.items():
        if key in known:
            changed.append({"b_key": key, **_again(alert, known[key], tx.now)})
        elif not alert.resolved:
            fresh.append({"key": key, **_fields(alert, tx.now)})
    if fresh:
        tx.connection.execute(_INSERT, fresh)
    if changed:
        tx.connection.execute(_CHANGE, changed)
    end(tx, [alert.key for alert in raised if alert.resolved])


def excuse(tx: Transaction, key: str, how: str) -> None:
    """End what is open of a key, and say how: its cause is still there, and does not count."""
    for row in rows_of(tx, [key]):
        if row.open:
            alert = codec.alert(row.body)
            title = f"Exempted: {alert.title}"
            queue(tx, [replace(alert, title=title, body=how, resolved=True)])


def withdraw(tx: Transaction, prefix: str) -> None:
    """End what is open and whose key begins with `prefix`: it is true no more."""
    after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    given = {"b_from": prefix, "b_to": after}
    keys = tx.connection.execute(_OPEN_BETWEEN, given).scalars().all()
    if keys:
        lock(tx)
        end(tx, keys)


def end(tx: Transaction, keys: Sequence[str]) -> None:
    """End what is open of these keys."""
    for some in _parts(keys):
        given = {"b_keys": some, "ended_at": tx.now, "unrouted": tx.now}
        tx.connection.execute(_END, given)


def raised(row: Row[Any]) -> Raised:
    """A row of the table, as the rest of credmgr sees it."""
    return Raised(
        codec.alert(row.body), row.digest, row.open, row.flaps, row.changed_at, row.ended_at
    )


def rows_of(tx: Transaction, keys: Iterable[str], table: Table = alerts) -> Iterator[Row[Any]]:
    """The rows of a table that have one of these keys."""
    for some in _parts(sorted(keys)):
        yield from tx.connection.execute(select(table).where(table.c.key.in_(some)))


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE))


def _fields(alert: Alert, now: datetime) -> dict[str, Any]:
    return {
        "body": codec.alert_body(alert),
        "digest": _digest(alert),
        "open": not alert.once,
        "flaps": 0,
        "changed_at": now,
        "ended_at": now if alert.once else None,
        "unrouted": now,
    }


def _again(alert: Alert, row: Row[Any], now: datetime) -> dict[str, Any]:
    """What a known alert becomes; that it ends is the caller's matter."""
    soon = row.ended_at is not None and now - row.ended_at < FLAPPING
    back = not row.open and not alert.resolved
    digest = row.digest if alert.resolved else _digest(alert)
    news = back or digest != row.digest or (alert.resolved and row.open)
    return {
        "body": codec.alert_body(alert),
        "digest": digest,
        "open": (row.open or back) and not alert.once,
        "flaps": (row.flaps + 1 if soon else 0) if back else row.flaps,
        "changed_at": now if back or digest != row.digest else row.changed_at,
        "ended_at": now if alert.once else row.ended_at,
        "unrouted": now if news else row.unrouted,
    }


def _digest(alert: Alert) -> str:
    return sha256(f"{alert.severity}\0{alert.title}".encode(errors="replace")).hexdigest()
