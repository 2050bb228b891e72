"""The disk as sealed files need it: private files, each replaced in one step, and locks on them."""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Final

PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_CHUNK: Final = 1 << 20
_FIRST_POLL: Final = 0.001
_LAST_POLL: Final = 0.02


class NotPrivate(PermissionError):
    """Other users can reach the file or folder, or it is not ours."""


class NotAPlainFile(OSError):
    """A symbolic link, folder or device stands where only a file of our own is accepted."""


class Disk:
    """The few calls by which sealed files change.

    They are methods so that a test can hand in a disk that is full, fails, or kills the process at
    the n-th call; nothing else writes. All raise `OSError`.
    """

    def create(self, path: Path) -> int:
        """Open a new file of mode 0600, whatever the umask; an existing one is an error."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(path, flags, PRIVATE_FILE)
        os.fchmod(handle, PRIVATE_FILE)
        return handle

    def write(self, handle: int, data: bytes) -> None:
        """Write all of `data`."""
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]

    def sync(self, handle: int) -> None:
        """Wait until a file is on the medium."""
        os.fsync(handle)

    def rename(self, source: Path, target: Path) -> None:
        """Put `source` in the place of `target`, in one step."""
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def make_folder(self, path: Path) -> None:
        """Make one folder of mode 0700, whatever the umask."""
        path.mkdir(PRIVATE_FOLDER)
        path.chmod(PRIVATE_FOLDER)

    def sync_folder(self, path: Path) -> None:
        """Wait until the names in a folder are on the medium."""
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def replace(self, path: Path, data: bytes, temporary: Path) -> None:
        """Give `path` the content `data`: a crash leaves the old content or the new one.

        The caller holds the lock that guards `temporary`, a name on the same file system; what a
        killed process left there is removed.
        """
        with suppress(FileNotFoundError):
            self.unlink(temporary)
        try:
            self._fill(temporary, data)
            self.rename(temporary, path)
        except OSError:
            with suppress(OSError):
                self.unlink(temporary)
            raise
        self.sync_folder(path.parent)

    def _fill(self, path: Path, data: bytes) -> None:
        handle = self.create(path)
        try:
            self.write(handle, data)
            self.sync(handle)
        finally:
            os.close(handle)

    def remove(self, path: Path) -> None:
        """Remove a file for good; an absent one is no error."""
        with suppress(FileNotFoundError):
            self.unlink(path)
            self.sync_folder(path.parent)

    def make_folders(self, path: Path) -> None:
        """Make a folder and those above it that are missing; existing ones are left as they are."""
        if path.is_dir():
            return
        self.make_folders(path.parent)
        with suppress(FileExistsError):
            self.make_folder(path)
        self.sync_folder(path.parent)


def read_private(path: Path) -> bytes:
    """The content of a file that only we can reach.

    Raises:
        NotAPlainFile: It is a link, a folder or a device.
        NotPrivate: Others can read or write it, or it belongs to somebody else.
        OSError: It cannot be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotAPlainFile(error.errno, "is a symbolic link", str(path)) from None
        raise
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise NotAPlainFile(errno.EINVAL, "is not a plain file", str(path))
        _refuse_shared(status, path, _OTHERS)
        return b"".join(iter(lambda: os.read(handle, _CHUNK), b""))
    finally:
        os.close(handle)


def check_private_folder(path: Path) -> None:
    """Make sure that a folder is ours and that nobody else can enter it.

    Raises:
        NotAPlainFile: It is something else than a folder.
        NotPrivate: Others can enter it, or it belongs to somebody else.
        OSError: It cannot be looked at.
    """
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotAPlainFile(errno.ENOTDIR, "is not a folder", str(path))
    _refuse_shared(status, path, _OTHERS)


def check_guarded_folder(path: Path) -> None:
    """Make sure that nobody else can replace files in a folder.

    Raises:
        NotPrivate: Others can write in it.
        OSError: It cannot be looked at.
    """
    status = path.stat()
    if status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX:
        raise NotPrivate(errno.EPERM, "is writable by other users (chmod go-w)", str(path))


@contextmanager
def locked(path: Path, patience: timedelta) -> Iterator[None]:
    """Hold the lock file `path` against every other process and thread; a dead holder lets go.

    Raises:
        TimeoutError: Somebody else held it for all of `patience`.
        OSError: The lock file cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, PRIVATE_FILE)
    try:
        _wait_for(handle, path, patience)
        yield
    finally:
        os.close(handle)


def _wait_for(handle: int, path: Path, patience: timedelta) -> None:
    until = time.monotonic() + patience.total_seconds()
    pause = _FIRST_POLL
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                sentence = f"is held by another process for more than {patience}"
                raise TimeoutError(errno.ETIMEDOUT, sentence, str(path)) from None
        else:
            return
        Event().wait(pause)
        pause = min(pause * 2, _LAST_POLL)


def _refuse_shared(status: os.stat_result, path: Path, others: int) -> None:
    if status.st_uid != os.geteuid():
        raise NotPrivate(errno.EPERM, "belongs to another user (chown)", str(path))
    if status.st_mode & others:
        mode = stat.S_IMODE(status.st_mode)
        raise NotPrivate(
            errno.EPERM, f"has mode {mode:04o}, open to other users (chmod go=)", str(path)
        )
