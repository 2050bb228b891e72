"""A disk that breaks at a chosen moment, for tests of what a crash or a failure leaves behind."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from credmgr.keyring import Disk


class BreakingDisk(Disk):
    """Does what a disk does, and calls `breaks` at one moment before, within or after an effect.

    A test counts up `at` from 1 until an operation passes unbroken, as SQLite's tests do.

    Attributes:
        moments: How many moments there were, and what each was, oldest first.
    """

    def __init__(self, at: int, breaks: Callable[[], None]) -> None:
        self.moments: list[str] = []
        self._at = at
        self._breaks = breaks

    def create(self, path: Path) -> int:
        """Open a new file."""
        with self._effect(f"create {path.name}"):
            return super().create(path)

    def write(self, handle: int, data: bytes) -> None:
        """Write all of `data`, with a moment when half of it is written."""
        with self._effect("write"):
            half = len(data) // 2
            super().write(handle, data[:half])
            self._moment("within write")
            super().write(handle, data[half:])

    def sync(self, handle: int) -> None:
        """Wait until a file is on the medium."""
        with self._effect("sync"):
            super().sync(handle)

    def rename(self, source: Path, target: Path) -> None:
        """Put `source` in the place of `target`."""
        with self._effect(f"rename {target.name}"):
            super().rename(source, target)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        with self._effect(f"unlink {path.name}"):
            super().unlink(path)

    def make_folder(self, path: Path) -> None:
        """Make a folder."""
        with self._effect(f"make folder {path.name}"):
            super().make_folder(path)

    def sync_folder(self, path: Path) -> None:
        """Wait until the names in a folder are on the medium."""
        with self._effect(f"sync folder {path.name}"):
            super().sync_folder(path)

    @contextmanager
    def _effect(self, what: str) -> Iterator[None]:
        self._moment(f"before {what}")
        yield
        self._moment(f"after {what}")

    def _moment(self, what: str) -> None:
        self.moments.append(what)
        if len(self.moments) == self._at:
            self._breaks()


def kill_myself() -> None:
    """End this process as `kill -9` does: nothing is flushed, no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail_with(code: int) -> Callable[[], None]:
    """What raises an `OSError` such as `errno.ENOSPC`."""

    def fail() -> None:
        raise OSError(code, os.strerror(code))

    return fail
