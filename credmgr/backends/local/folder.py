"""The folder of the local store: a file per name, locks, and what a crash left behind.

    <folder>/sealed/<name, `+` for `/`>     one file per name
    <folder>/locks/<00 … 3f>                a name's lock is chosen by its hash
    <folder>/partial/<00 … 3f>              a file being written under the lock of that number

A name has no `+` and no dot, so no two names share a file, and a name of 255 characters still fits
a file name (NAME_MAX, limits.h).
"""

import errno
import hashlib
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import Final

from credmgr.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    KeyringError,
    LimitExceeded,
    NotOurs,
)
from credmgr.keyring import Disk, NotAPlainFile, NotPrivate
from credmgr.keyring.disk import check_private_folder, locked, read_private
from credmgr.model.names import PATTERN

PROBE: Final = ".probe"
"""The name of a value of the store's own; no `Name` begins with a dot."""
_LOCKS: Final = tuple(f"{number:02x}" for number in range(64))
_OURS: Final = re.compile(rf"\{PROBE}|{PATTERN}", re.ASCII)
_DENIED: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


class Folder:
    """Reads and replaces the files of a store. Thread-safe, and safe between processes."""

    def __init__(self, path: Path, patience: timedelta, disk: Disk) -> None:
        self._path = path
        self._sealed = path / "sealed"
        self._locks = path / "locks"
        self._partial = path / "partial"
        self._patience = patience
        self._disk = disk
        self._threads = {lock: Lock() for lock in _LOCKS}

    def prepare(self) -> None:
        """Make what is missing, refuse what others can enter, clear what a crash left.

        Raises:
            AccessDenied: The folder is open to other users, or cannot be made.
            BackendUnavailable: The disk fails.
        """
        with translated():
            for folder in (self._path, self._sealed, self._locks, self._partial):
                self._disk.make_folders(folder)
                check_private_folder(folder)
            for leftover in sorted(self._partial.iterdir()):
                self._clear(leftover)

    def read(self, name: str) -> bytes | None:
        """The content of a name's file; None when there is none.

        Raises:
            NotOurs: A link or something else than a file stands there.
            AccessDenied: The file is open to other users, or may not be read.
            BackendUnavailable: The disk fails, or the whole store is gone.
        """
        with translated():
            try:
                return read_private(self._file(name))
            except FileNotFoundError:
                self._sealed.lstat()  # a store that is not mounted holds no proof of absence
                return None

    def replace(self, name: str, content: bytes) -> None:
        """Give a name's file new content, in one step; the caller holds its lock."""
        with translated():
            self._disk.replace(self._file(name), content, self._partial / _lock_of(name))

    def remove(self, name: str) -> None:
        """Remove a name's file; the caller holds its lock."""
        with translated():
            self._disk.remove(self._file(name))

    def names(self) -> list[str]:
        """Every name that has a file, sorted; what cannot be a name of ours is left out."""
        with translated():
            found = sorted(file.name.replace("+", "/") for file in self._sealed.iterdir())
        return [name for name in found if _OURS.fullmatch(name)]

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold a name's lock against other threads and processes.

        Raises:
            AccessDenied: The folder is open to other users.
            BackendUnavailable: Somebody else held it for all of the deadline.
        """
        with self._held(_lock_of(name)):
            yield

    def wait_for_writers(self) -> None:
        """Return when every change that is under way now has ended, whatever its name."""
        for lock in _LOCKS:
            with self._held(lock):
                pass

    @contextmanager
    def _held(self, lock: str) -> Iterator[None]:
        with ExitStack() as stack:
            if not self._threads[lock].acquire(timeout=self._patience.total_seconds()):
                raise BackendUnavailable(f"another thread has been busy for {self._patience}")
            stack.callback(self._threads[lock].release)
            with translated():
                for folder in (self._path, self._sealed, self._partial):
                    check_private_folder(folder)
                stack.enter_context(locked(self._locks / lock, self._patience))
            yield

    def _clear(self, leftover: Path) -> None:
        with suppress(TimeoutError), locked(self._locks / leftover.name, timedelta()):
            self._disk.remove(leftover)

    def _file(self, name: str) -> Path:
        return self._sealed / name.replace("/", "+")


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the disk and the keyring raise into backend errors."""
    try:
        yield
    except OSError as error:
        raise _meaning(error) from error
    except KeyringError as error:
        raise BackendUnavailable(f"nothing can be sealed: {error}") from error


def _meaning(error: OSError) -> BackendError:
    sentence = f"{error.filename or 'the disk'}: {error.strerror}"
    if isinstance(error, NotAPlainFile):
        return NotOurs(sentence)
    if isinstance(error, NotPrivate):
        return AccessDenied(sentence, hint="only the user that runs credmgr may reach the store")
    if error.errno in _DENIED:
        return AccessDenied(sentence)
    if error.errno == errno.ENAMETOOLONG:
        return LimitExceeded(sentence)
    return BackendUnavailable(sentence)


def _lock_of(name: str) -> str:
    return _LOCKS[hashlib.sha256(name.encode()).digest()[0] % len(_LOCKS)]
