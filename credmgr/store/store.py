"""Opening the state database."""

from datetime import timedelta
from types import TracebackType
from typing import Self

from sqlalchemy import select

from credmgr.errors import StateUnavailable
from credmgr.model.clock import Clock
from credmgr.store import schema
from credmgr.store.audit import AuditLog
from credmgr.store.copies import CopyBook
from credmgr.store.database import BUSY, Database
from credmgr.store.engine import address, make_file
from credmgr.store.faults import translated
from credmgr.store.ledger import SqlLedger
from credmgr.store.outbox import Outbox
from credmgr.store.tables import meta
from credmgr.store.tokens import TokenBook


class Store:
    """An open state database. Thread-safe; a context manager that closes it.

    Attributes:
        ledger: Credentials, rotations, leases, findings, alerts, usage, heartbeats.
        outbox: Alerts on their way to people.
        copies: What is known of each copy.
        tokens: Where tokens are kept.
        audit: The audit log.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.ledger = SqlLedger(database)
        self.outbox = Outbox(database)
        self.copies = CopyBook(database)
        self.tokens = TokenBook(database)
        self.audit = AuditLog(database)

    def __repr__(self) -> str:
        return f"<Store of {self._database.where}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def install_id(self) -> str:
        """What tells this installation from others; made with the database, never changed."""
        with self._database.read() as connection:
            row = select(meta.c.value).where(meta.c.key == "install_id")
            identity: str = connection.execute(row).scalar_one()
            return identity

    def close(self) -> None:
        """Close every connection. May be repeated."""
        self._database.close()


def open_store(
    url: str,
    *,
    clock: Clock,
    audit_key: bytes,
    owner: str,
    migrate: bool,
    busy: timedelta = BUSY,
) -> Store:
    """Open the state database, making or migrating it where that is allowed.

    Args:
        url: `sqlite:///path` or `postgresql://user@host/database`.
        clock: The only source of time.
        audit_key: Seals the audit chain; 32 bytes of the keyring.
        owner: This process, as in its leases; the actor of what nobody in particular did.
        migrate: Whether an absent or older database is brought up to date, as `apply` and `run` do.
        busy: How long to wait for somebody else's lock.

    Raises:
        ConfigError: The URL is none of these forms, or the driver is missing.
        StateUnavailable: It is locked, full, read-only or unreachable, or absent and `migrate` is
            False.
        SchemaTooNew: A newer credmgr wrote it.
        AuditBroken: Its chain is sealed with another key.
        StateError: It is older and `migrate` is False, or it is no database.
    """
    where = address(url)
    if where.file is not None:
        if migrate:
            with translated(str(where)):
                make_file(where.file, busy)
        elif not where.file.exists():
            raise StateUnavailable(f"{where} does not exist", hint="`credmgr apply` makes it")
    database = Database(where, clock, audit_key, owner, busy)
    try:
        schema.prepare(database, migrate=migrate)
    except BaseException:
        database.close()
        raise
    return Store(database)
