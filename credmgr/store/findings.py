"""Findings: opened once per key, escalated, acknowledged, resolved, and opened anew later."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update

from credmgr.model.audit import Event
from credmgr.model.finding import Finding
from credmgr.store.database import Transaction
from credmgr.store.tables import findings, meta

OPENING: Final = "findings"
"""The row of `meta` that is locked to open one, so that two do not open one key."""

_FIELDS: Final = tuple(field.name for field in fields(Finding))
_COLUMNS: Final = tuple(findings.c[name] for name in _FIELDS)
_LOCK: Final = select(meta.c.key).where(meta.c.key == OPENING).with_for_update()
_ALL: Final = select(*_COLUMNS).order_by(findings.c.opened_at, findings.c.id)
_OPEN: Final = _ALL.where(findings.c.resolved_at.is_(None))
_OPEN_OF: Final = select(*_COLUMNS).where(
    findings.c.key == bindparam("b_key"), findings.c.resolved_at.is_(None)
)
_INSERT: Final = insert(findings)
_CHANGE: Final = update(findings).where(
    findings.c.key == bindparam("b_key"), findings.c.resolved_at.is_(None)
)


def open_one(tx: Transaction, finding: Finding, actor: str) -> bool:
    """Open a finding, or change the severity and text of the open one; whether it was news."""
    tx.connection.execute(_LOCK).all()
    row = tx.connection.execute(_OPEN_OF, {"b_key": finding.key}).one_or_none()
    facts = {"severity": finding.severity.value, "text": finding.text}
    if row is None:
        tx.connection.execute(_INSERT, {name: getattr(finding, name) for name in _FIELDS})
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


def listed(connection: Connection, *, open_only: bool) -> Sequence[Finding]:
    """Findings, oldest first."""
    rows = connection.execute(_OPEN if open_only else _ALL)
    return [Finding(*row) for row in rows]
