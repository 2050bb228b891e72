"""The audit log as the rest of the program sees it."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, select

from credmgr.model.audit import AuditRecord, Checkpoint, Event
from credmgr.store import chain
from credmgr.store.database import Database
from credmgr.store.tables import audit

_RECORDS: Final = (
    select(audit)
    .where(audit.c.sequence > bindparam("b_after"))
    .order_by(audit.c.sequence)
    .limit(bindparam("b_limit"))
)
_RECORDS_OF: Final = _RECORDS.where(audit.c.subject == bindparam("b_subject"))


class AuditLog:
    """Append-only, sealed record by record. Thread-safe.

    Most records are written by the ledger, in the transaction of what they record. All methods may
    raise `StateUnavailable`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, event: Event) -> None:
        """Record a deed that changes nothing in the state database. Repeating it records twice."""
        with self._database.write() as tx:
            tx.record(event)

    def records(self, after: int, limit: int, subject: str | None = None) -> Sequence[AuditRecord]:
        """Records whose sequence is above `after`, oldest first, all or those of one subject."""
        statement = _RECORDS if subject is None else _RECORDS_OF
        values = {"b_after": after, "b_limit": limit, "b_subject": subject}
        with self._database.read() as connection:
            return [chain.record_of(row) for row in connection.execute(statement, values)]

    def checkpoint(self) -> Checkpoint:
        """The head of the chain, unverified; sequence 0 while nothing is recorded."""
        with self._database.read() as connection:
            return chain.head(connection, self._database.clock.now())

    def holds(self, checkpoint: Checkpoint) -> bool:
        """Whether the record that a checkpoint names is still there as it was: one look-up."""
        if checkpoint.sequence == 0:
            return True
        found = self.records(checkpoint.sequence - 1, 1)
        return [one.mac for one in found] == [checkpoint.mac]

    def verify(self, checkpoint: Checkpoint | None = None) -> Checkpoint:
        """Prove every record from the first to the last, and give the head.

        Args:
            checkpoint: A head seen earlier and kept elsewhere; without it a cut tail is not seen.

        Raises:
            AuditBroken: A record was edited, deleted, reordered or rewritten, the tail was cut, or
                the key is not the one that the chain was sealed with. The message says which
                record and how.
        """
        database = self._database
        with database.read() as connection:
            return chain.verify(connection, database.key, checkpoint, database.clock.now())
