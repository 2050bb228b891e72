"""What a database driver raises, said in our own errors; the one place that knows their codes."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from credmgr.errors import StateError, StateUnavailable

_PRIMARY: Final = 0xFF  # an extended result code carries the primary one in its low byte

# https://www.sqlite.org/rescode.html: what happened, what mends it
_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: ("{} is locked by another process", "find it with `fuser`, or try again"),
    sqlite3.SQLITE_LOCKED: ("{} is locked", "try again"),
    sqlite3.SQLITE_FULL: ("the disk that holds {} is full", "free some space; nothing was written"),
    sqlite3.SQLITE_READONLY: (
        "{} cannot be written",
        "check its owner and mode, and that its file system is not mounted read-only",
    ),
    sqlite3.SQLITE_CANTOPEN: ("{} cannot be opened", "check that its folder exists and is ours"),
    sqlite3.SQLITE_PERM: ("{} cannot be opened", "check that its folder exists and is ours"),
    sqlite3.SQLITE_IOERR: ("the disk that holds {} failed", "check the disk and the kernel's log"),
}
_SQLITE_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

# https://www.postgresql.org/docs/current/errcodes-appendix.html: code or its class
_UNREACHABLE: Final = ("{} does not answer", "check that the server runs and lets us in")
_POSTGRES: Final = {
    "08": _UNREACHABLE,
    "25006": ("{} is read-only", "connect to the primary, not to a standby"),
    "25P03": _UNREACHABLE,
    "28": ("{} does not let us in", "check user, password and pg_hba.conf"),
    "3D000": ("{} does not exist", "create the database"),
    "40": ("{} refused one of two writes that met", "try again"),
    "53100": ("the disk that holds {} is full", "free some space; nothing was written"),
    "53": ("{} has no room for this connection", "raise max_connections, or try again"),
    "55P03": ("{} is locked by another process", "look into pg_stat_activity, or try again"),
    "57": _UNREACHABLE,
    "58": ("the disk that holds {} failed", "check the server's log"),
}


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn what SQLAlchemy and the drivers raise into our errors.

    A value that a column refuses is a mistake of the caller, and comes out as the `TypeError` or
    `ValueError` that it is.

    Args:
        place: What the messages call the database; has no password in it.

    Raises:
        StateUnavailable: Locked, full, read-only, unreachable; the same call may succeed later.
        StateError: Anything else.
    """
    try:
        yield
    except DBAPIError as error:
        raise _fault(error.orig, place) from error
    except sqlite3.Error as error:
        raise _fault(error, place) from error
    except PoolTimeout as error:
        raise StateUnavailable(
            f"every connection to {place} is in use", hint="run fewer workers, or try again"
        ) from error
    except StatementError as error:
        if isinstance(error.orig, (TypeError, ValueError)):
            raise error.orig from None
        raise StateError(f"{place} could not be asked: {type(error).__name__}") from error
    except SQLAlchemyError as error:
        raise StateError(f"{place} could not be asked: {type(error).__name__}") from error


def _fault(error: BaseException | None, place: str) -> StateError:
    if isinstance(error, sqlite3.Error):
        return _sqlite_fault(error, place)
    state = getattr(error, "sqlstate", None) or ""
    broken = type(error).__name__ in {"OperationalError", "InterfaceError"}
    known = _POSTGRES.get(state) or _POSTGRES.get(state[:2])
    if known is None and broken and not state:
        known = _UNREACHABLE
    if known is None:
        return StateError(f"{place} refused the statement ({state or type(error).__name__})")
    what, mend = known
    return StateUnavailable(what.format(place), hint=mend)


def _sqlite_fault(error: sqlite3.Error, place: str) -> StateError:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    if code in _SQLITE_DAMAGED:
        return StateError(f"{place} is damaged or no database", hint="restore it from a backup")
    if code in _SQLITE:
        what, mend = _SQLITE[code]
        return StateUnavailable(what.format(place), hint=mend)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StateError(f"{place} refused the statement ({name})")
