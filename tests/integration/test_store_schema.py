"""Making, migrating and refusing schemas; the file and its pragmas."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from credmgr.errors import SchemaTooNew, StateError, StateUnavailable
from credmgr.store import Store, schema
from credmgr.store.tables import metadata
from tests.integration.conftest import NAME, Bench, enrol

READER: Final = """
import sys
from credmgr.store import open_store
from credmgr.testing.clock import FakeClock

key = bytes(range(32))
with open_store(sys.argv[1], clock=FakeClock(), audit_key=key, owner="x", migrate=True) as store:
    print(*(each.credential.name for each in store.ledger.all_enrolled()))
print("alembic:", "alembic" in sys.modules)
"""


def execute(store: Store, statement: str) -> None:
    with store._database.write() as tx:
        tx.connection.execute(text(statement))


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(store: Store) -> None:
    with store._database.read() as connection:
        context = MigrationContext.configure(connection)
        differences = compare_metadata(context, metadata)
    assert differences == []


def test_the_known_schemas_are_those_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema._SCRIPTS))
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(found)) == schema.REVISIONS


def test_opening_again_keeps_everything(store: Store, bench: Bench) -> None:
    enrol(store, bench.clock)
    again = bench.open(migrate=False)
    assert again.ledger.enrolled(NAME) == store.ledger.enrolled(NAME)
    assert again.install_id == store.install_id
    assert len(store.install_id) == 36


def test_a_database_that_is_up_to_date_is_opened_without_alembic(
    store: Store, bench: Bench
) -> None:
    enrol(store, bench.clock)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", READER, bench.url],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["caseforge/api-key", "alembic:", "False"]


def test_a_newer_schema_is_refused_whether_we_may_migrate_or_not(
    store: Store, bench: Bench
) -> None:
    execute(store, "UPDATE alembic_version SET version_num = '0999'")
    for migrate in (True, False):
        with pytest.raises(SchemaTooNew, match="0999; we know those up to ") as refused:
            bench.open(migrate=migrate)
        assert "newer" in (refused.value.hint or "")


def test_an_empty_database_is_left_alone_when_we_may_not_migrate(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "state.db").touch()
    with pytest.raises(StateError, match="is empty; this credmgr needs ") as refused:
        bench.open(migrate=False)
    assert "credmgr apply" in (refused.value.hint or "")


def test_a_migration_that_another_process_was_faster_with_is_not_repeated(store: Store) -> None:
    identity = store.install_id
    with store._database.write() as tx:
        schema._migrate(tx, store._database.key)
    assert store.install_id == identity


def test_a_migration_keeps_the_facts_of_the_installation(store: Store) -> None:
    identity = store.install_id
    with store._database.write() as tx:
        schema._seed(tx, store._database.key)
    assert store.install_id == identity


def test_nobody_is_shown_in_a_repr_but_the_place(store: Store, bench: Bench) -> None:
    assert repr(store).startswith("<Store of the state database")
    assert repr(store._database).startswith("<the state database")
    assert "postgres:" not in repr(store)
    assert bench.url.rsplit("/", 1)[1].partition("?")[0] in repr(store)


class TestFile:
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return Bench(f"sqlite:///{tmp_path}/new folder/state.db")

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "new folder" / "state.db"

    def test_file_log_and_folder_are_ours_alone(self, bench: Bench, file: Path) -> None:
        before = os.umask(0)
        try:
            with bench.stores:
                store = bench.open()
                enrol(store, bench.clock)
                modes = {path.name: path.stat().st_mode & 0o777 for path in file.parent.iterdir()}
        finally:
            os.umask(before)
        assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
        assert file.parent.stat().st_mode & 0o777 == 0o700

    def test_a_file_that_others_could_read_is_made_private(self, bench: Bench, file: Path) -> None:
        bench.open().close()
        file.chmod(0o644)
        bench.open().close()
        assert file.stat().st_mode & 0o777 == 0o600

    def test_an_absent_file_is_not_made_when_we_may_not_migrate(
        self, bench: Bench, file: Path
    ) -> None:
        with pytest.raises(StateUnavailable, match="does not exist"):
            bench.open(migrate=False)
        assert not file.exists()

    def test_a_folder_that_cannot_be_made_is_said_so(self, tmp_path: Path) -> None:
        (tmp_path / "occupied").touch()
        with pytest.raises(StateUnavailable, match="cannot be made: "):
            Bench(f"sqlite:///{tmp_path}/occupied/state.db").open()

    def test_a_file_that_is_no_database_is_said_to_be_damaged(
        self, bench: Bench, file: Path
    ) -> None:
        file.parent.mkdir()
        file.write_text("certainly no database, but long enough to be looked at" * 20)
        with pytest.raises(StateError, match="damaged or no database"):
            bench.open()

    def test_connections_are_set_up_as_the_design_asks(self, bench: Bench) -> None:
        wanted = {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "temp_store": 2,
            "secure_delete": 1,
            "busy_timeout": 1500,
        }
        with bench.stores:
            store = bench.open(busy=timedelta(seconds=1.5))
            with store._database.read() as connection:
                found = {
                    name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in wanted
                }
        assert found == wanted


@pytest.mark.postgres
def test_a_postgresql_connection_is_set_up_as_the_design_asks(postgres_url: str) -> None:
    wanted = {
        "synchronous_commit": "on",
        "TimeZone": "UTC",
        "lock_timeout": "1500ms",
        "idle_in_transaction_session_timeout": "15s",
    }
    bench = Bench(postgres_url)
    with bench.stores:
        store = bench.open(busy=timedelta(seconds=1.5))
        with store._database.read() as connection:
            found = {name: connection.execute(text(f"SHOW {name}")).scalar() for name in wanted}
    assert found == wanted
