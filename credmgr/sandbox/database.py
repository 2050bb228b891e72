"""The one SQLite file in which a sandbox keeps everything that outlives its process."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Final

from credmgr.errors import SchemaTooNew, StateUnavailable
from credmgr.sandbox.config import MEMORY

_SCHEMA_VERSION: Final = 1
_BUSY_SECONDS: Final = 5.0
_SCHEMA: Final = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE applications (
  number INTEGER PRIMARY KEY, client_id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
  description TEXT NOT NULL, grant_types TEXT NOT NULL, scopes TEXT NOT NULL,
  environment TEXT NOT NULL, created_at TEXT NOT NULL
) STRICT;
CREATE TABLE secrets (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
  credential TEXT NOT NULL, label TEXT NOT NULL, environment TEXT, scopes TEXT NOT NULL,
  digest TEXT NOT NULL UNIQUE, last_four TEXT NOT NULL, status TEXT NOT NULL,
  created_at TEXT NOT NULL, disabled_at TEXT, revoked_at TEXT,
  accepted_from TEXT NOT NULL, listed_from TEXT NOT NULL, rejected_from TEXT
) STRICT;
CREATE INDEX secrets_of_credential ON secrets (kind, credential);
CREATE TABLE tokens (
  id TEXT PRIMARY KEY, secret_id TEXT NOT NULL REFERENCES secrets (id), client_id TEXT NOT NULL,
  scopes TEXT NOT NULL, issued_at TEXT NOT NULL, expires_at TEXT NOT NULL, revoked_at TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_expiry ON tokens (expires_at);
CREATE TABLE log (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, kind TEXT NOT NULL,
  credential_kind TEXT, credential TEXT, secret_id TEXT, label TEXT, outcome TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;
CREATE TABLE records (
  number INTEGER PRIMARY KEY, environment TEXT NOT NULL, collection TEXT NOT NULL,
  id TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (environment, collection, id)
) STRICT;
"""


class Database:
    """One connection, used by one process, safe to use from several threads.

    The file is locked for as long as it is open, so that two sandboxes never share one. A process
    that dies loses nothing that was answered; a power cut may lose the last moments (WAL,
    `synchronous` NORMAL), which a sandbox can bear and which keeps the disk's latency out of it.

    Raises:
        StateUnavailable: The file cannot be opened, is locked by another process, or is full.
        SchemaTooNew: The file was written by a newer credmgr.
    """

    def __init__(self, path: str | Path) -> None:
        self._lock = RLock()
        self._depth = 0
        with _translated():
            if str(path) != MEMORY:
                _make_private(Path(path))
            self._connection = sqlite3.connect(
                str(path), timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        with _translated():
            self._connection.row_factory = sqlite3.Row
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
                self._connection.execute(f"PRAGMA {pragma}")
            (found,) = self._connection.execute("PRAGMA user_version").fetchone()
            if found > _SCHEMA_VERSION:
                raise SchemaTooNew("the sandbox's database was written by a newer credmgr")
            if not found:
                script = f"BEGIN EXCLUSIVE;{_SCHEMA}PRAGMA user_version={_SCHEMA_VERSION};COMMIT;"
                self._connection.executescript(script)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; one inside another joins it, and other threads wait."""
        with self._lock, _translated():
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._end("ROLLBACK")
                raise
            self._end("COMMIT")

    def _end(self, verb: str) -> None:
        self._depth -= 1
        if self._depth == 0 and self._connection.in_transaction:
            self._connection.execute(verb)

    def rows(self, sql: str, *parameters: str | float | None) -> list[sqlite3.Row]:
        """Every row that `sql` finds."""
        with self._lock, _translated():
            return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, *parameters: str | float | None) -> sqlite3.Row | None:
        """The first row that `sql` finds, or None."""
        found = self.rows(sql, *parameters)
        return found[0] if found else None

    def write(self, sql: str, *parameters: str | float | None) -> int:
        """Change something; the row id of what was inserted last."""
        with self.transaction():
            return self._connection.execute(sql, parameters).lastrowid or 0

    def close(self) -> None:
        """Let go of the file; may be repeated."""
        with self._lock:
            self._connection.close()


def stamp(moment: datetime) -> str:
    """`moment` as text of fixed width in UTC, which sorts as time does."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def moment(text: str) -> datetime:
    """The moment that `stamp` wrote."""
    return datetime.fromisoformat(text)


def _make_private(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StateUnavailable(f"the sandbox's database: {error}") from error
