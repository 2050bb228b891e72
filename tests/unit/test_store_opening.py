"""URLs, column types, and what the drivers' errors become; nothing is connected."""

import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import psycopg.errors as pg
import pytest
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    CompileError,
    IntegrityError,
    InterfaceError,
    InvalidRequestError,
    OperationalError,
    StatementError,
)
from sqlalchemy.exc import (
    TimeoutError as PoolTimeout,
)

from credmgr.errors import ConfigError, StateError, StateUnavailable
from credmgr.model.names import Name
from credmgr.model.rotation import State
from credmgr.store import types
from credmgr.store.engine import address, engine
from credmgr.store.faults import translated

PASSWORD = "canary-password"  # noqa: S105 (a canary)


class TestAddress:
    def test_an_sqlite_url_names_a_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir("/")
        assert address("sqlite:////var/lib/state.db").file == Path("/var/lib/state.db")
        assert address("sqlite:///state.db").file == Path("/state.db")
        assert str(address("sqlite:////x.db")) == "the state database /x.db"

    @pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
    def test_a_postgresql_url_is_told_without_user_and_password(self, scheme: str) -> None:
        where = address(f"{scheme}://ann:{PASSWORD}@db.example:5433/credmgr?sslmode=require")
        assert where.file is None
        assert where.url.drivername == "postgresql+psycopg"
        assert str(where) == "the state database 'credmgr' at db.example:5433"
        assert PASSWORD not in repr(where)

    def test_a_socket_folder_is_told_as_the_host(self) -> None:
        assert str(address("postgresql:///c?host=/run/pg")).endswith("'c' at /run/pg")
        assert str(address("postgresql:///c")).endswith("'c' at localhost")

    @pytest.mark.parametrize(
        "url",
        [
            f"://{PASSWORD}",
            f"mysql://ann:{PASSWORD}@host/db",
            f"postgresql://ann:{PASSWORD}@host:port/db",
            "sqlite://",
            "sqlite:///:memory:",
            "sqlite:///x.db?mode=ro",
        ],
    )
    def test_any_other_url_is_refused_and_not_repeated(self, url: str) -> None:
        with pytest.raises(ConfigError) as refused:
            address(url)
        assert PASSWORD not in str(refused.value)
        assert "sqlite:///path" in (refused.value.hint or "")

    def test_a_missing_driver_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(ConfigError, match="needs the driver psycopg") as refused:
            engine(address("postgresql://host/db"), timedelta(seconds=1))
        assert refused.value.hint == "pip install 'credmgr[postgres]'"

    def test_a_connect_timeout_of_the_user_is_kept(self) -> None:
        url = "postgresql://host/db?connect_timeout=42"
        made = engine(address(url), timedelta(seconds=1))
        assert made.url.query["connect_timeout"] == "42"
        made = engine(address("postgresql://host/db"), timedelta(seconds=7))
        assert made.url.query["connect_timeout"] == "7"


def sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("as the driver says it")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "SQLITE_SOMETHING"
    return error


class TestFaults:
    @pytest.mark.parametrize(
        ("error", "says"),
        [
            (sqlite_error(sqlite3.SQLITE_BUSY), "X is locked by another process"),
            (sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), "X is locked by another process"),
            (sqlite_error(sqlite3.SQLITE_FULL), "the disk that holds X is full"),
            (sqlite_error(sqlite3.SQLITE_READONLY_DBMOVED), "X cannot be written"),
            (sqlite_error(sqlite3.SQLITE_IOERR_FSYNC), "the disk that holds X failed"),
            (sqlite_error(sqlite3.SQLITE_CANTOPEN), "X cannot be opened"),
            (pg.DiskFull(), "the disk that holds X is full"),
            (pg.TooManyConnections(), "X has no room for this connection"),
            (pg.AdminShutdown(), "X does not answer"),
            (pg.IdleInTransactionSessionTimeout(), "X does not answer"),
            (pg.ConnectionFailure(), "X does not answer"),
            (psycopg.OperationalError("connection failed"), "X does not answer"),
            (psycopg.InterfaceError("the connection is closed"), "X does not answer"),
            (pg.InvalidPassword(), "X does not let us in"),
            (pg.InvalidCatalogName(), "X does not exist"),
            (pg.ReadOnlySqlTransaction(), "X is read-only"),
            (pg.LockNotAvailable(), "X is locked by another process"),
            (pg.DeadlockDetected(), "X refused one of two writes that met"),
            (pg.SerializationFailure(), "X refused one of two writes that met"),
            (pg.IoError(), "the disk that holds X failed"),
        ],
    )
    def test_what_may_pass_says_what_mends_it(self, error: Exception, says: str) -> None:
        with pytest.raises(StateUnavailable) as unavailable, translated("X"):
            raise OperationalError("SELECT", {}, error)
        assert unavailable.value.message == says
        assert unavailable.value.hint
        assert isinstance(unavailable.value.__cause__, OperationalError)

    @pytest.mark.parametrize(
        "error",
        [
            sqlite_error(sqlite3.SQLITE_CORRUPT),
            sqlite_error(sqlite3.SQLITE_NOTADB),
            sqlite_error(sqlite3.SQLITE_CONSTRAINT_UNIQUE),
            sqlite3.ProgrammingError("no code at all"),
            pg.UniqueViolation(),
            pg.UndefinedTable(),
            psycopg.DataError("no code at all"),
        ],
    )
    def test_what_will_not_pass_is_no_retryable_error(self, error: Exception) -> None:
        with pytest.raises(StateError) as refused, translated("X"):
            raise IntegrityError("SELECT", {}, error)
        assert not refused.value.retryable

    def test_an_error_of_the_driver_itself_is_translated_too(self) -> None:
        with pytest.raises(StateUnavailable, match="full"), translated("X"):
            raise sqlite_error(sqlite3.SQLITE_FULL)
        with pytest.raises(StateUnavailable, match="does not answer"), translated("X"):
            raise InterfaceError("SELECT", {}, psycopg.InterfaceError())

    def test_a_pool_without_a_free_connection_is_unavailable(self) -> None:
        with pytest.raises(StateUnavailable, match="every connection to X"), translated("X"):
            raise PoolTimeout

    def test_a_value_that_a_column_refuses_is_the_mistake_that_it_is(self) -> None:
        with pytest.raises(TypeError, match="not a Secret"), translated("X"):
            raise StatementError("no", "SELECT", {}, TypeError("not a Secret"))

    @pytest.mark.parametrize(
        "error",
        [
            StatementError("no", "SELECT", {}, KeyError("bind")),
            InvalidRequestError("no"),
            CompileError("no"),
        ],
    )
    def test_a_mistake_of_ours_is_named_by_its_kind(self, error: Exception) -> None:
        with pytest.raises(StateError, match=type(error).__name__), translated("X"):
            raise error


class TestTypes:
    LITE, POST = sqlite.dialect(), postgresql.dialect()  # type: ignore[no-untyped-call]

    def test_a_moment_is_text_here_and_a_timestamp_there(self) -> None:
        moment, kind = datetime(2026, 1, 1, tzinfo=UTC), types.Moment()
        text = kind.process_bind_param(moment, self.LITE)
        assert text == "2026-01-01T00:00:00.000000+00:00"
        assert kind.process_result_value(text, self.LITE) == moment
        assert kind.process_bind_param(moment, self.POST) == moment
        assert kind.process_result_value(moment, self.POST) == moment

    @pytest.mark.parametrize(
        "kind", [types.Moment(), types.Words(State), types.NameText(), types.Lines()]
    )
    def test_nothing_stays_nothing(self, kind: types.Moment) -> None:
        assert kind.process_bind_param(None, self.LITE) is None
        assert kind.process_result_value(None, self.LITE) is None

    def test_sets_and_mappings_are_never_nothing(self) -> None:
        assert types.Facts().process_bind_param(None, self.LITE) == "{}"
        assert types.Facts().process_result_value(None, self.LITE) == {}
        assert types.ScopeSet().process_bind_param(None, self.LITE) == ""
        assert types.ScopeSet().process_result_value(None, self.LITE) == frozenset()
        assert types.PlainText().process_bind_param(None, self.LITE) is None

    def test_a_word_outside_the_set_is_refused(self) -> None:
        words = types.Words(State)
        with pytest.raises(ValueError, match="ROTATING"):
            words.process_result_value("ROTATING", self.LITE)
        with pytest.raises(ValueError, match="ROTATING"):
            words.process_bind_param("ROTATING", self.LITE)  # type: ignore[arg-type]

    def test_a_name_comes_back_as_a_name(self) -> None:
        name = types.NameText().process_result_value("a/b", self.LITE)
        assert name is not None
        assert name.segments == ("a", "b")
        assert isinstance(name, Name)
