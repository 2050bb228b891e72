"""A secrets backend for credmgr: sealed values in one SQLite file (docs/plugins.md explains it)."""

# region: imports
import hmac
import os
import re
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from credmgr.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    Conflict,
    CorruptSecret,
    KeyringError,
    LimitExceeded,
    NotOurs,
    SecretNotFound,
)
from credmgr.model.names import MAX_NAME_LENGTH, Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import Capability, Held, HeldVersion, Limits, Mistake
from credmgr.plugins.context import Keys, PluginContext

LIMITS: Final = Limits(value_bytes=65_536, name_length=MAX_NAME_LENGTH)
PROBE: Final = ".probe"
"""Where `check` tries itself out; no `Name` begins with a dot."""
_OTHERS: Final = 0o077
_NONCE_BYTES: Final = 12  # what NIST SP 800-38D §5.2.1.1 recommends for GCM
_PRIMARY: Final = 0xFF  # the part of an extended result code that names the kind
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# endregion


# region: options
@dataclass(frozen=True, slots=True)
class SqliteOptions:
    """Where the store is.

    Attributes:
        path: The file, relative to the manifest's folder; made with mode 0600 when it is missing.
        patience: How long a call waits for another one that writes.
    """

    path: str = "secrets.db"
    patience: timedelta = timedelta(seconds=5)


# endregion


# region: factory
class SqliteFactory:
    """Opens sessions with an SQLite file."""

    options = SqliteOptions
    capabilities = frozenset({Capability.CAS, Capability.VERSIONS})
    limits = LIMITS

    def validate(self, options: SqliteOptions) -> Iterable[Mistake]:
        """What the types alone cannot say."""
        if not options.path.strip() or "\0" in options.path:
            yield Mistake("path", "the path is empty or no path", "name a file of its own")
        if not options.patience:
            yield Mistake("patience", "without patience every second call fails", "write 5s")

    def open(self, options: SqliteOptions, context: PluginContext) -> "SqliteBackend":
        """A session; makes the file when it is missing."""
        return SqliteBackend(
            context.home / Path(options.path).expanduser(),
            Sealer(context.keys, f"sqlite-file:{context.name}"),
            context,
            min(options.patience, context.deadline / 2),
        )


# endregion


# region: schema
MARK: Final = "credmgr"
APPLICATION: Final = 0x63726467  # ours, in the header of the file: "crdg"
_SCHEMA: Final = """
CREATE TABLE copies (
    number     INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    stage      TEXT CHECK (stage IN ('current', 'next', 'previous')),
    written_at TEXT NOT NULL,
    mark       TEXT,
    key_id     TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    UNIQUE (name, version),
    UNIQUE (name, stage)
)
"""


class Copy(NamedTuple):
    """One version as the file holds it; stage None: kept from before `previous`."""

    version: UUID
    stage: Stage | None
    written_at: datetime
    key_id: str
    sealed: bytes


# endregion


# region: sealing
class Sealer:
    """Seals values with AES-256-GCM, bound to backend, name and version. Thread-safe."""

    def __init__(self, keys: Keys, purpose: str) -> None:
        self._keys, self._purpose = keys, purpose

    def seal(self, name: str, version: UUID, value: bytes) -> tuple[str, bytes]:
        """The id of the key used, and the sealed value."""
        key_id, key = self._keys.current(self._purpose)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return key_id, nonce + AESGCM(key).encrypt(nonce, value, self._place(name, version))

    def open(self, name: str, copy: Copy) -> bytes:
        """The value; `CorruptSecret` when it does not authenticate at this place."""
        nonce, sealed = copy.sealed[:_NONCE_BYTES], copy.sealed[_NONCE_BYTES:]
        try:
            key = self._keys.by_id(self._purpose, copy.key_id)
            return AESGCM(key).decrypt(nonce, sealed, self._place(name, copy.version))
        except (InvalidTag, ValueError, KeyringError) as error:
            raise CorruptSecret(f"version {copy.version} of {name} does not open") from error

    def _place(self, name: str, version: UUID) -> bytes:
        return f"credmgr-sqlite-v1\n{self._purpose}\n{name}\n{version}".encode()


# endregion


# region: errors
@contextmanager
def translated() -> Iterator[None]:
    """Turn what SQLite, the disk and the keyring raise into credmgr's errors; the only place."""
    try:
        yield
    except sqlite3.Error as error:
        raise _meaning(error) from error
    except (PermissionError, FileNotFoundError) as error:
        raise AccessDenied(f"{error.filename}: {error.strerror}") from error
    except OSError as error:
        raise BackendUnavailable(f"{error.filename}: {error.strerror}") from error
    except KeyringError as error:
        raise BackendUnavailable(f"nothing can be sealed: {error}") from error


def _meaning(error: sqlite3.Error) -> BackendError:
    sentence = f"the SQLite file: {error}"
    match getattr(error, "sqlite_errorcode", 0) & _PRIMARY:
        case sqlite3.SQLITE_NOTADB:
            return NotOurs(sentence)
        case sqlite3.SQLITE_CORRUPT:
            return CorruptSecret(sentence)
        case sqlite3.SQLITE_PERM | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN:
            return AccessDenied(sentence)
        case _:  # busy, full, a failing disk: what was begun is undone, so it may be repeated
            return BackendUnavailable(sentence)


# endregion


# region: limits
def _encoded(secret: Secret) -> bytes:
    text = secret.reveal()
    # A search, not a failed encoding: its exception would carry the value.
    if _SURROGATE.search(text):
        raise LimitExceeded("the value is not Unicode text")
    value = text.encode()
    if len(value) > LIMITS.value_bytes:
        raise LimitExceeded(f"the value has {len(value)} bytes; at most {LIMITS.value_bytes} fit")
    return value


# endregion


# region: opening
def _make_private(path: Path) -> None:
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    _require_private(path)


def _require_private(path: Path) -> None:
    status = path.lstat()  # a link has mode 0777, so it is refused as well
    if status.st_uid != os.geteuid() or status.st_mode & _OTHERS:
        hint = f"chmod go= {path.name}"
        raise AccessDenied(f"{path} is a link, or open to other users", hint=hint)


def _connect(path: Path, patience: timedelta) -> sqlite3.Connection:
    seconds = patience.total_seconds()
    with translated(), ExitStack() as undo:
        _make_private(path)
        db = sqlite3.connect(path, timeout=seconds, isolation_level=None, check_same_thread=False)
        undo.enter_context(closing(db))
        db.execute("PRAGMA secure_delete = ON")  # what is discarded is overwritten
        db.execute("PRAGMA synchronous = EXTRA")  # what is answered survives a loss of power
        with db:
            db.execute("BEGIN IMMEDIATE")
            _claim(db, path)
        undo.pop_all()
    return db


def _claim(db: sqlite3.Connection, path: Path) -> None:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == 0 and not tables:
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(_SCHEMA)
    elif application != APPLICATION:
        raise NotOurs(f"{path} is the database of another application")


# endregion


# region: rows
def _rows(db: sqlite3.Connection, name: str) -> list[tuple[Any, ...]]:
    """What stands under a name, newest first; refused as a whole when one row is not ours."""
    rows = db.execute(
        "SELECT mark, version, stage, written_at, key_id, sealed FROM copies"
        " WHERE name = ? ORDER BY number DESC",
        (name,),
    ).fetchall()
    if any(mark != MARK for mark, *_ in rows):
        raise NotOurs(f"{name} holds something that credmgr did not write")
    return rows


def _copies(db: sqlite3.Connection, name: str) -> list[Copy]:
    """Every version under a name, newest first."""
    try:
        return [
            Copy(
                UUID(version), Stage(stage) if stage else None, datetime.fromisoformat(at), *sealed
            )
            for _, version, stage, at, *sealed in _rows(db, name)
        ]
    except ValueError as error:
        raise CorruptSecret(f"what stands under {name} is damaged") from error


def _find(copies: Iterable[Copy], version: UUID) -> Copy | None:
    return next((copy for copy in copies if copy.version == version), None)


def _move(db: sqlite3.Connection, name: str, version: UUID, stage: Stage) -> None:
    where = (stage, name, str(version))
    db.execute("UPDATE copies SET stage = ? WHERE name = ? AND version = ?", where)


# endregion


# region: session
class SqliteBackend:
    """Sealed values in one SQLite file. Thread-safe, and safe between processes.

    Every method raises `BackendUnavailable` (repeat it) when somebody else writes for too long or
    the disk fails, and `AccessDenied` (do not) when the file cannot be reached or others can.
    """

    def __init__(
        self, path: Path, sealer: Sealer, context: PluginContext, patience: timedelta
    ) -> None:
        self._path, self._sealer, self._clock = path, sealer, context.clock
        self._patience = patience
        self._db = _connect(path, patience)
        self._lock = Lock()

    @contextmanager
    def _transaction(
        self, kind: Literal["DEFERRED", "IMMEDIATE"] = "IMMEDIATE"
    ) -> Iterator[sqlite3.Connection]:
        if not self._lock.acquire(timeout=self._patience.total_seconds()):
            raise BackendUnavailable(f"other threads have been busy for {self._patience}")
        try:
            with translated(), self._db:  # commits, or rolls back when anything is raised
                self._db.execute(f"BEGIN {kind}")
                yield self._db
        finally:
            self._lock.release()

    def close(self) -> None:
        """Let go of the file. May be repeated."""
        with self._lock:
            self._db.close()

    # endregion

    # region: insert
    def _insert(self, db: sqlite3.Connection, name: str, version: UUID, value: bytes) -> None:
        key_id, sealed = self._sealer.seal(name, version, value)
        row = (name, str(version), self._clock.now().isoformat(), MARK, key_id, sealed)
        db.execute(
            "INSERT INTO copies (name, version, written_at, mark, key_id, sealed)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            row,
        )

    # endregion

    # region: read
    def read(self, name: Name, stage: Stage = Stage.CURRENT) -> Held:
        """The copy at `stage`. May be repeated.

        Raises:
            SecretNotFound: Nothing is at that stage.
            CorruptSecret: What is there does not authenticate.
            NotOurs: What is there was not written by credmgr.
        """
        with self._transaction("DEFERRED") as db:
            for copy in _copies(db, name):
                if copy.stage is stage:
                    secret = Secret(self._sealer.open(name, copy).decode())
                    return Held(copy.version, stage, secret)
        raise SecretNotFound(f"{name} has no {stage} secret")

    def versions(self, name: Name) -> Sequence[HeldVersion]:
        """Every version held, newest first. May be repeated."""
        with self._transaction("DEFERRED") as db:
            copies = _copies(db, name)
        return [HeldVersion(copy.version, copy.stage, copy.written_at) for copy in copies]

    # endregion

    # region: stage
    def stage(self, name: Name, secret: Secret, version: UUID) -> None:
        """Write `secret` as `next`. Repeating it with the same version and value changes nothing.

        Raises:
            Conflict: `version` exists already with another value.
            LimitExceeded: The value is too long or not Unicode text.
            CorruptSecret: What is there does not authenticate.
            NotOurs: The name holds something that credmgr did not write.
        """
        value = _encoded(secret)
        with self._transaction() as db:
            held = _find(_copies(db, name), version)
            if held and not hmac.compare_digest(self._sealer.open(name, held), value):
                raise Conflict(f"version {version} of {name} exists already with another value")
            if held and held.stage:
                return
            db.execute("DELETE FROM copies WHERE name = ? AND stage = 'next'", (name,))
            if not held:
                self._insert(db, name, version, value)
            _move(db, name, version, Stage.NEXT)

    # endregion

    # region: promote
    def promote(self, name: Name, version: UUID, expect: UUID | None) -> None:
        """Make `version` current, if `current` is `expect`. May be repeated.

        Raises:
            Conflict: `current` is neither `expect` nor `version`.
            SecretNotFound: `version` is neither `next` nor `previous`.
            CorruptSecret: What is there does not authenticate.
            NotOurs: The name holds something that credmgr did not write.
        """
        with self._transaction() as db:
            copies = _copies(db, name)
            current = next((copy.version for copy in copies if copy.stage is Stage.CURRENT), None)
            if current == version:
                return
            if current != expect:
                raise Conflict(f"{name} has the current version {current}, not {expect}")
            copy = _find(copies, version)
            if copy is None or copy.stage is None:
                raise SecretNotFound(f"{name} has no version {version} to promote")
            self._sealer.open(name, copy)  # never point readers at what does not open
            db.execute(
                "UPDATE copies SET stage = NULL WHERE name = ? AND stage = 'previous'", (name,)
            )
            if current:
                _move(db, name, current, Stage.PREVIOUS)
            _move(db, name, version, Stage.CURRENT)

    # endregion

    # region: discard
    def discard(self, name: Name, version: UUID) -> None:
        """Destroy the value of a version that is not current. An absent one is no error.

        Raises:
            Conflict: `version` is current.
            NotOurs: The name holds something that credmgr did not write.
        """
        with self._transaction() as db:
            held = _find(_copies(db, name), version)
            if held and held.stage is Stage.CURRENT:
                raise Conflict(f"version {version} of {name} is current")
            db.execute("DELETE FROM copies WHERE name = ? AND version = ?", (name, str(version)))

    def delete(self, name: Name) -> None:
        """Remove the name with all of its versions, damaged ones too. An absent one is no error.

        Raises:
            NotOurs: The name holds something that credmgr did not write.
        """
        with self._transaction() as db:
            _rows(db, name)
            db.execute("DELETE FROM copies WHERE name = ?", (name,))

    # endregion

    # region: check
    def check(self) -> None:
        """Prove that the file can be written, and that a value of ours opens. May be repeated."""
        with self._transaction() as db:
            _require_private(self._path)
            for copy in _copies(db, PROBE):
                self._sealer.open(PROBE, copy)
            db.execute("DELETE FROM copies WHERE name = ?", (PROBE,))
            self._insert(db, PROBE, uuid4(), secrets.token_bytes())

    # endregion

    # region: reseal
    def reseal(self) -> None:
        """Seal every value anew under the newest data key, for `credmgr rekey --data`.

        One transaction: writers that began earlier are seen, later ones take the newest key.
        """
        with self._transaction() as db:
            names = db.execute("SELECT DISTINCT name FROM copies WHERE mark = ?", (MARK,))
            for (name,) in names.fetchall():
                for copy in _copies(db, name):
                    value = self._sealer.open(name, copy)
                    anew = (*self._sealer.seal(name, copy.version, value), name, str(copy.version))
                    db.execute(
                        "UPDATE copies SET key_id = ?, sealed = ? WHERE name = ? AND version = ?",
                        anew,
                    )

    # endregion
