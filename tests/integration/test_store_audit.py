"""The audit chain: gapless whoever writes, and broken wherever somebody tampers."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest
from sqlalchemy import text

from credmgr.errors import AuditBroken, StateError
from credmgr.model.audit import Checkpoint, Event
from credmgr.store import Store
from tests.integration.conftest import KEY, NAME, OWNER, Bench, enrol

WRITER: Final = """
import sys
from credmgr.model.audit import Event
from credmgr.store import open_store
from credmgr.testing.clock import FakeClock

url, owner = sys.argv[1:]
key = bytes(range(32))
with open_store(url, clock=FakeClock(), audit_key=key, owner=owner, migrate=True) as store:
    for number in range(25):
        store.audit.append(Event(owner, "test.written", str(number)))
"""


def write(store: Store, count: int = 6) -> Checkpoint:
    for number in range(1, count + 1):
        store.audit.append(Event(OWNER, "test.written", f"subject-{number}", {"n": str(number)}))
    return store.audit.checkpoint()


def tamper(store: Store, *statements: str) -> None:
    """What somebody with the rights of the database's owner may do to it."""
    with store._database.write() as tx:
        if tx.connection.dialect.name == "sqlite":
            tx.connection.execute(text("DROP TRIGGER audit_no_update"))
            tx.connection.execute(text("DROP TRIGGER audit_no_delete"))
        else:
            tx.connection.execute(text("DROP TRIGGER audit_append_only ON audit"))
        for statement in statements:
            tx.connection.execute(text(statement))


SWAP: Final = (
    "UPDATE audit SET sequence = 99 WHERE sequence = 2",
    "UPDATE audit SET sequence = 2 WHERE sequence = 4",
    "UPDATE audit SET sequence = 4 WHERE sequence = 99",
)
KEEP_MACS: Final = (
    "UPDATE audit SET mac = (SELECT value FROM meta WHERE key = 'm2') WHERE sequence = 2",
    "UPDATE audit SET mac = (SELECT value FROM meta WHERE key = 'm4') WHERE sequence = 4",
)
NOTE_MACS: Final = (
    "INSERT INTO meta SELECT 'm2', mac FROM audit WHERE sequence = 2",
    "INSERT INTO meta SELECT 'm4', mac FROM audit WHERE sequence = 4",
)
TAMPERINGS: Final = {
    "an actor edited": (("UPDATE audit SET actor = 'nobody' WHERE sequence = 3",), 3, "edited"),
    "an action edited": (("UPDATE audit SET action = 'x' WHERE sequence = 3",), 3, "edited"),
    "a subject edited": (("UPDATE audit SET subject = 'x' WHERE sequence = 1",), 1, "edited"),
    "facts edited": (("UPDATE audit SET facts = '{}' WHERE sequence = 6",), 6, "edited"),
    "blanks in facts": (
        ('UPDATE audit SET facts = \'{"n": "3"}\' WHERE sequence = 3',),
        3,
        "edited",
    ),
    "a time edited": (
        ("UPDATE audit SET at = '2025-01-01 00:00:00.000000+00:00' WHERE sequence = 3",),
        3,
        "edited",
    ),
    "a mac edited": (("UPDATE audit SET mac = 'ff' WHERE sequence = 3",), 3, "edited"),
    "the first deleted": (("DELETE FROM audit WHERE sequence = 1",), 1, "deleted"),
    "one deleted": (("DELETE FROM audit WHERE sequence = 4",), 4, "deleted"),
    "one deleted and the rest renumbered": (
        (
            "DELETE FROM audit WHERE sequence = 5",
            "UPDATE audit SET sequence = 5 WHERE sequence = 6",
        ),
        5,
        "edited",
    ),
    "two swapped": (SWAP, 2, "reordered"),
    "two swapped but for their macs": ((*NOTE_MACS, *SWAP, *KEEP_MACS), 2, "reordered"),
}


class TestTampering:
    @pytest.mark.parametrize("what", TAMPERINGS)
    def test_it_is_found_at_its_place_and_called_by_its_name(self, store: Store, what: str) -> None:
        write(store)
        statements, sequence, how = TAMPERINGS[what]
        tamper(store, *statements)
        with pytest.raises(AuditBroken, match=rf"audit record {sequence}: {how}"):
            store.audit.verify()

    def test_a_time_that_is_none_is_an_edit(self, bench: Bench, store: Store) -> None:
        if not bench.url.startswith("sqlite"):
            return  # PostgreSQL keeps only times
        write(store)
        tamper(store, "UPDATE audit SET at = 'yesterday' WHERE sequence = 3")
        with pytest.raises(AuditBroken, match="audit record 3: edited"):
            store.audit.verify()

    def test_a_cut_tail_is_found_against_a_checkpoint(self, store: Store) -> None:
        checkpoint = write(store)
        tamper(store, "DELETE FROM audit WHERE sequence > 4")
        assert store.audit.verify().sequence == 4
        with pytest.raises(AuditBroken, match="audit record 5: cut off") as broken:
            store.audit.verify(checkpoint)
        assert "backup" in (broken.value.hint or "")

    def test_a_chain_that_went_another_way_since_is_found_against_a_checkpoint(
        self, store: Store
    ) -> None:
        checkpoint = write(store)
        tamper(store, "DELETE FROM audit WHERE sequence > 4")
        for number in range(4):
            store.audit.append(Event(OWNER, "test.forked", str(number)))
        assert store.audit.verify().sequence == 8
        with pytest.raises(AuditBroken, match="audit record 6: rewritten"):
            store.audit.verify(checkpoint)

    def test_everything_deleted_is_found_against_a_checkpoint(self, store: Store) -> None:
        checkpoint = write(store)
        tamper(store, "DELETE FROM audit")
        assert store.audit.verify() == Checkpoint(0, "0" * 64, checkpoint.at)
        with pytest.raises(AuditBroken, match="audit record 1: cut off"):
            store.audit.verify(checkpoint)

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE meta SET value = 'x' WHERE key = 'audit_key'",
            "DELETE FROM meta WHERE key = 'audit_key'",
        ],
    )
    def test_a_key_that_is_not_ours_stops_verifying_and_writing(
        self, store: Store, statement: str
    ) -> None:
        write(store)
        tamper(store, statement)
        with pytest.raises(AuditBroken, match="key that is not ours"):
            store.audit.verify()
        with pytest.raises(AuditBroken, match="key that is not ours"):
            write(store)

    def test_another_key_does_not_even_open_it(self, store: Store, bench: Bench) -> None:
        write(store)
        with pytest.raises(AuditBroken, match="key that is not ours"):
            bench.open(audit_key=KEY[::-1])

    @pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
    def test_the_database_itself_refuses_to_change_a_record(
        self, store: Store, statement: str
    ) -> None:
        write(store)
        with pytest.raises(StateError), store._database.write() as tx:
            tx.connection.execute(text(statement))
        assert store.audit.verify().sequence == 6

    def test_facts_that_are_no_json_are_said_to_be_damaged(self, store: Store) -> None:
        write(store)
        tamper(store, "UPDATE audit SET facts = '{' WHERE sequence = 2")
        with pytest.raises(StateError, match="audit record 2 is damaged"):
            store.audit.records(0, 9)


class TestWriting:
    def test_an_empty_chain_verifies(self, store: Store, bench: Bench) -> None:
        assert store.audit.verify() == store.audit.checkpoint()
        assert store.audit.checkpoint() == Checkpoint(0, "0" * 64, bench.clock.now())

    def test_an_old_checkpoint_still_holds_when_the_chain_has_grown(self, store: Store) -> None:
        old = write(store)
        assert store.audit.verify(write(store)) == store.audit.verify(old)
        with pytest.raises(AuditBroken, match="rewritten"):
            store.audit.verify(replace(old, mac="0" * 64))

    def test_records_are_read_on_from_any_place_and_by_subject(
        self, store: Store, bench: Bench
    ) -> None:
        enrol(store, bench.clock)
        write(store)
        assert [record.sequence for record in store.audit.records(2, 3)] == [3, 4, 5]
        (record,) = store.audit.records(0, 9, "subject-2")
        assert record.event == Event(OWNER, "test.written", "subject-2", {"n": "2"})
        assert record.at == bench.clock.now()
        assert store.audit.records(1, 9, NAME) == []

    @pytest.mark.slow
    def test_four_processes_at_once_leave_no_gap(self, bench: Bench) -> None:
        owners = [f"process-{n}" for n in range(4)]
        command = [sys.executable, "-W", "error", "-c", WRITER, bench.url]
        started = [
            subprocess.Popen([*command, owner], stderr=subprocess.PIPE, text=True)  # noqa: S603
            for owner in owners
        ]
        errors = [process.communicate(timeout=120)[1] for process in started]
        assert [process.returncode for process in started] == [0] * 4, errors
        audit = bench.open().audit
        assert audit.verify().sequence == 100
        assert by_actor(audit.records(0, 200)) == {
            owner: [str(number) for number in range(25)] for owner in owners
        }


def by_actor(records: Sequence[object]) -> dict[str, list[str]]:
    written: dict[str, list[str]] = {}
    for record in records:
        event: Event = record.event  # type: ignore[attr-defined]
        written.setdefault(event.actor, []).append(event.subject)
    return written
