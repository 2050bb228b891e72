"""The end of a leak: when what was found is revoked, in the transaction that says so."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, select

from credmgr.model.finding import LEAK, Alert, Severity
from credmgr.model.names import Name
from credmgr.model.version import Version, VersionStatus
from credmgr.store import alerts, credentials, findings
from credmgr.store.database import Transaction
from credmgr.store.tables import findings as table
from credmgr.store.tables import versions

_TEXT: Final = select(table.c.text).where(
    table.c.key == bindparam("b_key"), table.c.resolved_at.is_(None)
)
_LIVING: Final = select(versions.c.fingerprint).where(
    versions.c.credential == bindparam("b_credential"),
    versions.c.status != VersionStatus.REVOKED,
    versions.c.fingerprint != "",
)


def settle(tx: Transaction, name: Name, changed: Sequence[Version]) -> None:
    """Resolve a credential's leak, and tell, if no living version is one that was found."""
    if not any(one.status is VersionStatus.REVOKED for one in changed):
        return
    key = LEAK.format(name)
    text = tx.connection.execute(_TEXT, {"b_key": key}).scalar_one_or_none()
    if text is None:
        return
    living = tx.connection.execute(_LIVING, {"b_credential": name}).scalars()
    if any(fingerprint in text for fingerprint in living):
        return
    findings.resolve(tx, key, tx.owner, tx.now)
    credential = credentials.enrolled(tx.connection, name).credential
    told = Alert(
        key=key,
        severity=Severity.CRITICAL,
        owner=credential.owner,
        title=f"{name}: the leaked secret is revoked",
        body="Nothing more has to be done about it, but to find out who had it.",
        at=tx.now,
        facts={"credential": name},
        environment=credential.environment,
        resolved=True,
    )
    alerts.queue(tx, [told])
