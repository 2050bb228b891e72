"""Transactions: one context manager to read, one to write; a write carries its audit records."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

from sqlalchemy import Connection

from credmgr.errors import StateUnavailable
from credmgr.model.audit import Event
from credmgr.model.clock import Clock
from credmgr.store import chain
from credmgr.store.engine import WRITES, Address, engine
from credmgr.store.faults import translated

BUSY: Final = timedelta(seconds=5)
"""How long a call waits for somebody else's lock before it is `StateUnavailable`."""


@dataclass(slots=True)
class Transaction:
    """An open write transaction.

    Attributes:
        connection: What to execute statements on.
        now: When it began.
        owner: Which process it belongs to; the actor of what nobody in particular did.
    """

    connection: Connection
    now: datetime
    owner: str
    events: list[Event] = field(default_factory=list)

    def record(self, event: Event) -> None:
        """Have `event` appended to the audit chain when the transaction ends well."""
        self.events.append(event)


class Database:
    """The engine, its locks and the audit key. Thread-safe."""

    def __init__(
        self, where: Address, clock: Clock, key: bytes, owner: str, busy: timedelta
    ) -> None:
        self.where = where
        self.clock = clock
        self.key = key
        self.owner = owner
        self.busy = busy
        self._engine = engine(where, busy)
        self._writing = self._engine.execution_options(**{WRITES: True})
        # SQLite has one writer; queueing for it in the process is fairer than polling its lock
        self._turn = Lock() if where.file else None

    def __repr__(self) -> str:
        return f"<{self.where}>"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state of the database and changes nothing."""
        with translated(str(self.where)), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction: all of it with its audit records, or on any exception nothing.

        The chain's head is locked last and only until the commit; since every transaction takes its
        locks in one order (lease, rotation, credential, the rest, audit), none waits in a circle.
        """
        with self._my_turn(), translated(str(self.where)), self._writing.begin() as connection:
            transaction = Transaction(connection, self.clock.now(), self.owner)
            yield transaction
            chain.append(connection, self.key, transaction.now, transaction.events)

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=self.busy.total_seconds()):
            raise StateUnavailable(f"{self.where} is busy with another thread's write")
        try:
            yield
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()
