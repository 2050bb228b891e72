"""From a URL to connections that are set up as the design asks, on SQLite and on PostgreSQL."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.pool import QueuePool

from credmgr.errors import ConfigError, StateUnavailable

WRITES: Final = "credmgr_writes"
"""Execution option of a connection whose transaction writes."""

_POOL: Final = 8
_POOL_OVERFLOW: Final = 24
_PRIVATE_FILE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700
_OTHERS: Final = 0o077
_FORMS: Final = "sqlite:///path or postgresql://user@host/database"
_STUCK_TRANSACTION: Final = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the state database is.

    Attributes:
        url: For SQLAlchemy; may carry a password, which its `repr` hides.
        file: The file of an SQLite database; None for PostgreSQL.
    """

    url: URL
    file: Path | None

    def __str__(self) -> str:
        """What messages call the database; without user, password or options."""
        if self.file is not None:
            return f"the state database {self.file}"
        host = self.url.host or self.url.query.get("host") or "localhost"
        port = f":{self.url.port}" if self.url.port else ""
        return f"the state database {self.url.database!r} at {host}{port}"


def address(url: str) -> Address:
    """Read a URL.

    Raises:
        ConfigError: It names no database that credmgr can use; the message does not repeat it, for
            it may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError("the state URL is malformed", hint=_FORMS) from None
    match parsed.drivername:
        case "sqlite":
            if not parsed.database or parsed.database == ":memory:" or parsed.query:
                raise ConfigError("the state URL names no file", hint=_FORMS)
            return Address(parsed, Path(parsed.database).expanduser().absolute())
        case "postgresql" | "postgresql+psycopg" | "postgres":
            return Address(parsed.set(drivername="postgresql+psycopg"), None)
        case other:
            raise ConfigError(f"the state cannot be kept in {other!r}", hint=_FORMS)


def engine(where: Address, busy: timedelta) -> Engine:
    """An engine with its pool; nothing is connected yet.

    Args:
        where: The database.
        busy: How long to wait for somebody else's lock before giving up.

    Raises:
        ConfigError: The driver is not installed.
    """
    if where.file is None:
        return _postgres(where.url, busy)
    return _sqlite(where.file, busy)


def make_file(file: Path, busy: timedelta) -> None:
    """Create an empty SQLite file in WAL mode that only we can read, in a folder likewise.

    An existing one is made private and switched to WAL mode. May be repeated, and by several
    processes at once.

    Raises:
        StateUnavailable: The folder or file cannot be made.
        sqlite3.Error: The file is no database, or somebody holds it.
    """
    try:
        file.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        file.touch(mode=_PRIVATE_FILE)
        if file.stat().st_mode & _OTHERS:
            file.chmod(_PRIVATE_FILE)
    except OSError as error:
        raise StateUnavailable(
            f"the state database {file} cannot be made: {error.strerror}",
            hint="check that its folder is ours and not read-only",
        ) from error
    with _alone(file.parent), closing(_connect(file, busy)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    # two processes that switch one file to WAL at once are refused without waiting
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _connect(file: Path, busy: timedelta) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(file))}?mode=rw",  # rw: a file that is gone is an error, not a new one
        uri=True,
        timeout=busy.total_seconds(),
        isolation_level=None,  # we begin ourselves, below
        check_same_thread=False,  # the pool hands a connection to one thread at a time
        cached_statements=256,
    )


def _sqlite(file: Path, busy: timedelta) -> Engine:
    made = create_engine(
        "sqlite+pysqlite://",
        creator=lambda: _connect(file, busy),
        poolclass=QueuePool,
        pool_size=_POOL,
        max_overflow=_POOL_OVERFLOW,
        pool_timeout=busy.total_seconds(),
        hide_parameters=True,
    )

    @event.listens_for(made, "connect")
    def set_up(connection: sqlite3.Connection, record: Any) -> None:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")  # NORMAL may lose a commit on power loss
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA secure_delete=ON")
        record.info["inode"] = _inode(file)

    @event.listens_for(made, "checkout")
    def still_there(connection: Any, record: Any, proxy: Any) -> None:  # noqa: ARG001
        # a file deleted or replaced under us would take our writes and forget them
        if _inode(file) != record.info["inode"]:
            raise DisconnectionError("the file was replaced")

    @event.listens_for(made, "begin")
    def begin(connection: Connection) -> None:
        # a deferred transaction that reads and then writes may fail without waiting for the lock
        writes = connection.get_execution_options().get(WRITES, False)
        driver: Any = connection.connection.driver_connection
        driver.execute("BEGIN IMMEDIATE" if writes else "BEGIN")

    return made


def _inode(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _postgres(url: URL, busy: timedelta) -> Engine:
    wait = max(round(busy.total_seconds()), 1)
    if "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": str(max(wait, 2))})
    try:
        made = create_engine(
            url,
            pool_size=_POOL,
            max_overflow=_POOL_OVERFLOW,
            pool_timeout=busy.total_seconds(),
            pool_pre_ping=True,  # a server that restarted costs one ping, not one failed write
            hide_parameters=True,
            connect_args={"tcp_user_timeout": 10_000},
        )
    except ModuleNotFoundError as error:
        raise ConfigError(
            "PostgreSQL needs the driver psycopg", hint="pip install 'credmgr[postgres]'"
        ) from error

    @event.listens_for(made, "connect")
    def set_up(connection: Any, record: Any) -> None:  # noqa: ARG001
        milliseconds = busy // timedelta(milliseconds=1)
        stuck = _STUCK_TRANSACTION // timedelta(milliseconds=1)
        connection.autocommit = True
        connection.execute("SET synchronous_commit = on")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET lock_timeout = {milliseconds}")
        # a process frozen inside a transaction must not stop everybody else's
        connection.execute(f"SET idle_in_transaction_session_timeout = {stuck}")
        connection.autocommit = False

    return made
