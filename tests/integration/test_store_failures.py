"""What goes wrong with a database: typed errors that say what to mend, and nothing half-written."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from time import perf_counter

import psycopg
import pytest
from sqlalchemy import event, text

from credmgr.errors import StateError, StateUnavailable
from credmgr.model.audit import Event
from credmgr.model.rotation import Request, State
from credmgr.model.secret import Secret
from credmgr.store import Store
from tests.integration.conftest import (
    NAME,
    OWNER,
    TTL,
    Begins,
    Bench,
    change,
    enrol,
    fresh,
    moved,
    sample,
)

QUICK = timedelta(seconds=0.3)
CANARY = "canary-7f3a-do-not-store"


class TestAtomicity:
    def test_an_exception_inside_a_transaction_leaves_nothing(
        self, store: Store, bench: Bench
    ) -> None:
        enrol(store, bench.clock)
        head = store.audit.checkpoint()

        def interrupted() -> None:
            with store._database.write() as tx:
                tx.connection.execute(text("UPDATE credentials SET status = 'revoked'"))
                tx.record(Event(OWNER, "test.written", NAME))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert store.ledger.enrolled(NAME).credential == sample()
        assert store.audit.checkpoint() == head

    def test_what_cannot_be_audited_is_not_done(self, store: Store, begin: Begins) -> None:
        row, lease = begin()
        created = change(moved(row, State.CREATED), State.INTENT, "created")
        leaky = Event(OWNER, "rotation.moved", NAME, {"value": Secret(CANARY)})  # type: ignore[dict-item]
        with pytest.raises(TypeError, match="not a Secret"):
            store.ledger.move(replace(created, event=leaky), lease)
        assert store.ledger.rotation(row.id) == row

    def test_a_last_statement_that_fails_undoes_the_first(
        self, store: Store, begin: Begins
    ) -> None:
        row, lease = begin()
        store_event = change(moved(row, State.CREATED), State.INTENT, "created")
        assert store_event.entry is not None
        foreign = replace(store_event.entry, rotation=row.new_version)
        with pytest.raises(StateError, match="refused the statement"):
            store.ledger.move(replace(store_event, entry=foreign), lease)
        assert store.ledger.rotation(row.id) == row
        assert store.audit.records(0, 99)[-1].event.facts == {"text": "opened"}


class TestNoSecret:
    def test_a_secret_in_any_text_is_refused(self, store: Store, begin: Begins) -> None:
        row, lease = begin()
        leaky = moved(row, State.CREATED, reason=Secret(CANARY))
        with pytest.raises(TypeError, match="not a Secret"):
            store.ledger.move(change(leaky, State.INTENT, "created"), lease)
        steps = moved(row, State.CREATED, steps=("open", Secret(CANARY)))
        with pytest.raises(TypeError, match="not a Secret"):
            store.ledger.move(change(steps, State.INTENT, "created"), lease)

    def test_no_message_repeats_a_value(self, store: Store, bench: Bench, begin: Begins) -> None:
        row, lease = begin(reason=CANARY)
        twin = fresh(bench.clock, id=row.id, reason=CANARY)
        store.ledger.move(change(moved(row, State.DONE), State.INTENT, "done"), lease)
        with pytest.raises(StateError) as refused:
            store.ledger.begin(change(twin, State.INTENT, "twin"), lease)
        cause: BaseException | None = refused.value
        while cause is not None:
            assert CANARY not in str(cause)
            cause = cause.__cause__


def hold_write_lock(url: str, stack: ExitStack) -> None:
    """Take, as another process would, what every write needs."""
    if url.startswith("sqlite"):
        file = url.removeprefix("sqlite:///")
        other = stack.enter_context(closing(sqlite3.connect(file, isolation_level=None)))
        other.execute("BEGIN IMMEDIATE")
    else:
        server = stack.enter_context(psycopg.connect(url))
        server.execute("SELECT 1 FROM meta WHERE key = 'audit_key' FOR UPDATE")


class TestLocked:
    def test_a_lock_that_another_process_keeps_is_unavailable_within_the_bound(
        self, bench: Bench
    ) -> None:
        store = bench.open(busy=QUICK)
        enrol(store, bench.clock)
        with ExitStack() as stack:
            hold_write_lock(bench.url, stack)
            started = perf_counter()
            with pytest.raises(StateUnavailable, match="locked by another process") as refused:
                store.audit.append(Event(OWNER, "test.written", NAME))
            assert perf_counter() - started < 10 * QUICK.total_seconds()
            assert refused.value.retryable
            assert refused.value.hint
            assert store.ledger.enrolled(NAME).credential == sample()  # reads go on
        store.audit.append(Event(OWNER, "test.written", NAME))

    def test_a_write_of_another_thread_is_waited_for_no_longer_than_the_bound(
        self, tmp_path: Path
    ) -> None:
        bench = Bench(f"sqlite:///{tmp_path}/state.db")
        inside, leave = Flag(), Flag()

        def write(store: Store) -> None:
            with store._database.write():
                inside.set()
                leave.wait(10)

        with bench.stores:
            store = bench.open(busy=QUICK)
            thread = Thread(target=write, args=(store,))
            thread.start()
            inside.wait(10)
            with pytest.raises(StateUnavailable, match="another thread"):
                enrol(store, bench.clock)
            leave.set()
            thread.join(10)
            enrol(store, bench.clock)

    def test_a_pool_that_is_used_up_is_unavailable(self, bench: Bench) -> None:
        store = bench.open(busy=QUICK)

        def nested(depth: int) -> None:
            with store._database.read():
                nested(depth - 1)

        with pytest.raises(StateUnavailable, match="every connection"):
            nested(40)


@pytest.fixture
def sqlite(tmp_path: Path) -> Bench:
    return Bench(f"sqlite:///{tmp_path}/state.db")


def pragma(store: Store, statement: str) -> None:
    """Set something on every connection made from now on."""
    event.listen(store._database._engine, "connect", lambda each, _: each.execute(statement))
    store._database._engine.dispose()


class TestSqlite:
    def test_a_full_disk_is_said_to_be_full_and_nothing_is_half_written(
        self, sqlite: Bench
    ) -> None:
        with sqlite.stores:
            store = sqlite.open()
            enrol(store, sqlite.clock)
            with store._database.read() as connection:
                pages = connection.execute(text("PRAGMA page_count")).scalar_one()
            pragma(store, f"PRAGMA max_page_count = {pages + 4}")
            heads = [store.audit.checkpoint()]

            def fill() -> None:
                for _ in range(100):
                    store.audit.append(Event(OWNER, "test.written", "x" * 2000))
                    heads.append(store.audit.checkpoint())

            with pytest.raises(StateUnavailable, match=r"the disk that holds .* is full") as full:
                fill()
            assert full.value.hint == "free some space; nothing was written"
            assert store.audit.verify(heads[-1]) == heads[-1]
            assert store.ledger.enrolled(NAME).credential == sample()

    def test_a_database_that_is_read_only_is_said_to_be(self, sqlite: Bench) -> None:
        with sqlite.stores:
            store = sqlite.open()
            enrol(store, sqlite.clock)
            pragma(store, "PRAGMA query_only = ON")
            with pytest.raises(StateUnavailable, match="cannot be written"):
                store.ledger.acquire(NAME, OWNER, sqlite.clock.now(), TTL)
            assert store.ledger.enrolled(NAME).credential == sample()

    def test_a_file_that_was_deleted_takes_no_more_writes(
        self, sqlite: Bench, tmp_path: Path
    ) -> None:
        with sqlite.stores:
            store = sqlite.open()
            enrol(store, sqlite.clock)
            for file in tmp_path.glob("state.db*"):
                file.unlink()
            with pytest.raises(StateUnavailable, match="cannot be opened"):
                store.ledger.acquire(NAME, OWNER, sqlite.clock.now(), TTL)

    def test_a_file_that_was_replaced_is_the_one_that_is_used(
        self, sqlite: Bench, tmp_path: Path
    ) -> None:
        with sqlite.stores:
            store = sqlite.open()
            enrol(store, sqlite.clock)
            store._database._engine.dispose()  # the log is merged into the file
            backup = (tmp_path / "state.db").read_bytes()
            store.ledger.enrol([], [NAME], OWNER, sqlite.clock.now())
            for file in tmp_path.glob("state.db*"):
                file.unlink()
            (tmp_path / "state.db").write_bytes(backup)
            assert store.audit.checkpoint().sequence == 1

    def test_a_closed_store_may_be_closed_again(self, sqlite: Bench) -> None:
        store = sqlite.open()
        store.close()
        store.close()


@pytest.mark.postgres
class TestPostgres:
    def test_a_server_that_does_not_answer_is_unreachable_and_no_password_is_told(
        self, tmp_path: Path
    ) -> None:
        url = f"postgresql://ann:{CANARY}@/credmgr?host={tmp_path}"
        with pytest.raises(StateUnavailable, match=r"'credmgr' at .* does not answer") as refused:
            Bench(url).open(busy=QUICK)
        assert CANARY not in str(refused.value)
        assert CANARY not in str(refused.value.__cause__)

    def test_a_server_that_restarts_costs_one_call_at_most(
        self, postgres_url: str, postgres_server: str
    ) -> None:
        bench = Bench(postgres_url)
        with bench.stores:
            store = bench.open()
            enrol(store, bench.clock)

            def cut_off() -> None:
                with store._database.write() as tx:
                    tx.record(Event(OWNER, "test.written", NAME))
                    end_sessions(postgres_server)

            with pytest.raises(StateUnavailable, match="does not answer"):
                cut_off()
            end_sessions(postgres_server)
            assert store.audit.verify().sequence == 1

    def test_a_database_that_is_read_only_is_said_to_be(self, postgres_url: str) -> None:
        bench = Bench(postgres_url)
        with bench.stores:
            store = bench.open()
            enrol(store, bench.clock)
            with psycopg.connect(postgres_url, autocommit=True) as connection:
                name = connection.info.dbname
                connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            store._database._engine.dispose()
            with pytest.raises(StateUnavailable, match="is read-only"):
                store.ledger.acquire(NAME, OWNER, bench.clock.now(), TTL)


def end_sessions(server: str) -> None:
    """Cut off every session but our own, as a restart of the server does."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


def test_wishes_moves_and_declarations_at_once_lose_nothing(
    store: Store, bench: Bench, begin: Begins
) -> None:
    row, lease = begin()
    wish = Event("operator", "rotation.requested", NAME)

    def move(number: int) -> None:
        seen = store.ledger.rotation(row.id)
        store.ledger.move(change(replace(seen, failures=number), State.INTENT, "moved"), lease)

    def ask(_: int) -> None:
        store.ledger.ask(row.id, Request.HURRY, wish, bench.clock.now())

    def declare(number: int) -> None:
        store.ledger.enrol([sample(owner=f"team {number}")], [], "operator", bench.clock.now())

    def twenty_times(deed: Callable[[int], None]) -> None:
        for number in range(20):
            deed(number)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(twenty_times, (move, ask, declare))) == [None] * 3
    held = store.ledger.rotation(row.id)
    assert (held.request, held.failures) == (Request.HURRY, 19)
    assert len(store.ledger.journal(row.id)) == 41
    assert store.audit.verify().sequence == 2 + 60
