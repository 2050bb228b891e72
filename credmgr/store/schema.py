"""Which schema the database has, and bringing it to the one that this code needs."""

from pathlib import Path
from threading import Lock
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection, insert, inspect, select, text

from credmgr.errors import SchemaTooNew, StateError
from credmgr.store import alerts, chain, credentials, findings
from credmgr.store.codec import moment_text
from credmgr.store.database import Database, Transaction
from credmgr.store.tables import meta

REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
"""Every schema that ever was, oldest first; a migration for each is in `migrations/versions`."""

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_MIGRATING: Final = 0x637265646D6772  # "credmgr": the advisory lock of PostgreSQL
_ADVISORY_LOCK: Final = text(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
_REVISION: Final = text("SELECT version_num FROM alembic_version")
_alembic: Final = Lock()  # Alembic keeps its context in module globals: one thread at a time
_MIGRATE_HINT: Final = "`credmgr apply` and `credmgr run` bring it up to date"


def prepare(database: Database, *, migrate: bool) -> None:
    """Make sure that the schema is ours, and that the audit chain is sealed with our key.

    Args:
        database: The database, perhaps empty.
        migrate: Whether an empty or older one may be changed.

    Raises:
        SchemaTooNew: A newer credmgr wrote it; nothing is touched.
        StateError: It is empty or older, and may not be changed.
        AuditBroken: The chain is sealed with another key.
    """
    with database.read() as connection:
        current = _current(connection)
    if current != REVISIONS[-1]:
        if not migrate:
            has = f"has the schema {current}" if current else "is empty"
            raise StateError(
                f"{database.where} {has}; this credmgr needs {REVISIONS[-1]}", hint=_MIGRATE_HINT
            )
        with _alembic, database.write() as tx:
            _migrate(tx, database.key)
    with database.read() as connection:
        chain.check_key(connection, database.key)


def _current(connection: Connection) -> str | None:
    """The schema of the database, None when it has none.

    Raises:
        SchemaTooNew: It is none that this code knows.
    """
    if not inspect(connection).has_table("alembic_version"):
        return None
    current: str | None = connection.execute(_REVISION).scalar_one_or_none()
    if current is not None and current not in REVISIONS:
        raise SchemaTooNew(
            f"the state database has the schema {current}; we know those up to {REVISIONS[-1]}",
            hint="use the credmgr that wrote it, or a newer one",
        )
    return current


def _migrate(tx: Transaction, key: bytes) -> None:
    # Alembic takes as long to import as everything else together; most starts need none of it
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    if tx.connection.dialect.name == "postgresql":
        tx.connection.execute(_ADVISORY_LOCK)
    if _current(tx.connection) == REVISIONS[-1]:
        return  # another process was faster
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = tx.connection
    command.upgrade(config, REVISIONS[-1])
    _seed(tx, key)


def _seed(tx: Transaction, key: bytes) -> None:
    facts = {
        "install_id": str(uuid4()),
        "created_at": moment_text(tx.now),
        chain.KEY_ROW: chain.key_id(key),
        credentials.ENROLLING: "",
        findings.OPENING: "",
        alerts.RAISING: "",
    }
    known = set(tx.connection.execute(select(meta.c.key)).scalars())
    rows = [{"key": name, "value": fact} for name, fact in facts.items() if name not in known]
    if rows:
        tx.connection.execute(insert(meta), rows)
