"""Findings: opened once per key, escalated, acknowledged, resolved, and opened anew later."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from credmgr.model.audit import Event
from credmgr.model.finding import Finding, NextLook, Settlement
from credmgr.model.names import Name
from credmgr.store import alerts, codec
from credmgr.store.bynames import ByNames
from credmgr.store.database import Transaction
from credmgr.store.tables import credentials, findings, meta
from credmgr.store.types import Moment

OPENING: Final = "findings"
"""The row of `meta` that is locked to open one, so that two do not open one key."""

_FIELDS: Final = tuple(field.name for field in fields(Finding))
_COLUMNS: Final = tuple(findings.c[name] for name in _FIELDS)
_LOCK: Final = select(meta.c.key).where(meta.c.key == OPENING).with_for_update()
_ALL: Final = select(*_COLUMNS).order_by(findings.c.opened_at, findings.c.id)
_OPEN: Final = _ALL.where(findings.c.resolved_at.is_(None))
_OF: Final = _ALL.where(findings.c.key == bindparam("b_key"))
_OPEN_OF: Final = select(*_COLUMNS).where(
    findings.c.key == bindparam("b_key"), findings.c.resolved_at.is_(None)
)
_KNOWN: Final = ByNames(
    lambda among: _ALL.where(
        among(findings.c.credential),
        or_(
            findings.c.resolved_at.is_(None),
            findings.c.exempt_until > bindparam("b_now", type_=Moment),
        ),
    )
)
_INSERT: Final = insert(findings)
_CHANGE: Final = update(findings).where(
    findings.c.key == bindparam("b_key"), findings.c.resolved_at.is_(None)
)
_LOOK: Final = update(credentials).where(
    credentials.c.name == bindparam("b_name"),
    credentials.c.next_look_at.is_not_distinct_from(bindparam("b_before", type_=Moment)),
)
_LOOK_NOW: Final = update(credentials).where(credentials.c.name == bindparam("b_name"))


def open_one(tx: Transaction, finding: Finding, actor: str) -> bool:
    """Open a finding, or change the severity and text of the open one; whether it was news."""
    tx.connection.execute(_LOCK).all()
    row = tx.connection.execute(_OPEN_OF, {"b_key": finding.key}).one_or_none()
    facts = {"severity": finding.severity.value, "text": finding.text}
    if row is None:
        tx.connection.execute(_INSERT, _values(finding))
        tx.record(Event(actor, "finding.opened", finding.key, facts))
        return True
    if (row.severity, row.text) == (finding.severity, finding.text):
        return False
    said: dict[str, Any] = {"severity": finding.severity, "text": finding.text}
    tx.connection.execute(_CHANGE, {"b_key": finding.key, **said})
    tx.record(Event(actor, "finding.changed", finding.key, facts))
    return True


def resolve(tx: Transaction, key: str, actor: str, now: datetime) -> bool:
    """End the open finding of a key; False when there is none."""
    if tx.connection.execute(_CHANGE, {"b_key": key, "resolved_at": now}).rowcount == 0:
        return False
    tx.record(Event(actor, "finding.resolved", key))
    return True


def acknowledge(tx: Transaction, key: str, actor: str) -> bool:
    """Note who has seen the open finding of a key; False when there is none."""
    if tx.connection.execute(_CHANGE, {"b_key": key, "acknowledged_by": actor}).rowcount == 0:
        return False
    tx.record(Event(actor, "finding.acknowledged", key))
    return True


def snooze(tx: Transaction, key: str, until: datetime, actor: str) -> bool:
    """Let nobody be reminded of the open finding of a key before `until`; False when none is."""
    facts = {"until": codec.moment_text(until)}
    return _decide(tx, key, {"snoozed_until": until}, Event(actor, "finding.snoozed", key, facts))


def exempt(tx: Transaction, key: str, until: datetime, why: str, actor: str) -> bool:
    """Let the open finding of a key not count before `until`; False when there is none."""
    said = {"exempt_until": until, "exempted_by": actor, "exempted_why": why}
    facts = {"until": codec.moment_text(until), "why": why}
    decided = _decide(tx, key, said, Event(actor, "finding.exempted", key, facts))
    if decided:
        how = f"It does not count until {until:%Y-%m-%d %H:%M} UTC, says {actor}: {why}"
        alerts.excuse(tx, key, how)
    return decided


def _decide(tx: Transaction, key: str, said: Mapping[str, Any], event: Event) -> bool:
    row = tx.connection.execute(_OPEN_OF, {"b_key": key}).one_or_none()
    if row is None:
        return False
    tx.connection.execute(_CHANGE, {"b_key": key, **said})
    if row.credential:  # so that a sweep is there when it ends
        tx.connection.execute(_LOOK_NOW, {"b_name": row.credential, "next_look_at": tx.now})
    tx.record(event)
    return True


def listed(connection: Connection, *, open_only: bool) -> Sequence[Finding]:
    """Findings, oldest first."""
    rows = connection.execute(_OPEN if open_only else _ALL)
    return [Finding(*row) for row in rows]


def of_key(connection: Connection, key: str) -> Sequence[Finding]:
    """Every finding that there ever was of a key, oldest first."""
    return [Finding(*row) for row in connection.execute(_OF, {"b_key": key})]


def known(connection: Connection, names: Sequence[Name], now: datetime) -> Sequence[Finding]:
    """Open findings of credentials, and resolved ones whose exemption still holds."""
    return [Finding(*row) for row in _KNOWN.run(connection, names, b_now=now)]


def settle(
    tx: Transaction,
    names: Sequence[Name],
    decide: Callable[[Sequence[Finding]], Settlement],
    now: datetime,
) -> Settlement:
    """Decide on what is known and write what comes of it; see `SqlLedger.settle`."""
    tx.connection.execute(_LOCK).all()
    settled = decide(known(tx.connection, names, now))
    run = tx.connection.execute
    if settled.opened:
        run(_INSERT, [_values(finding) for finding in settled.opened])
    if settled.changed:
        run(_CHANGE, [{"b_key": one.key, **_values(one)} for one in settled.changed])
    if settled.resolved:
        run(_CHANGE, [{"b_key": one.key, "resolved_at": now} for one in settled.resolved])
    _look_next(tx, settled.looks)
    alerts.queue(tx, settled.alerts)
    for event in settled.events:
        tx.record(event)
    return settled


def _look_next(tx: Transaction, looks: Iterable[NextLook]) -> None:
    rows = [
        {"b_name": one.credential, "b_before": one.before, "next_look_at": one.after}
        for one in sorted(looks, key=lambda one: one.credential)
    ]
    if rows:
        tx.connection.execute(_LOOK, rows)


def _values(finding: Finding) -> dict[str, Any]:
    return {name: getattr(finding, name) for name in _FIELDS}
