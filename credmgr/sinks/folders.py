"""Files below a root, reached by open folders only: no link is followed, nothing is half-written.

Every folder from the root down is opened relative to the one before, without following links
(`openat` with O_NOFOLLOW), and refused when somebody else may write in it; so nobody can lead a
write elsewhere.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Final, Self

from credmgr.errors import AccessDenied, BackendError, BackendUnavailable, LimitExceeded, NotOurs
from credmgr.model.clock import Clock

LONGEST: Final = 1 << 20
"""Files of ours are shorter; what is longer is not ours, and is not read to its end."""
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_TOO_LONG: Final = frozenset({errno.ENAMETOOLONG, errno.EFBIG})
_PAUSE: Final = timedelta(milliseconds=20)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may reach a file.

    Attributes:
        mode: Its permission bits.
        owner: Its user id.
        group: Its group id.
    """

    mode: int
    owner: int
    group: int

    @property
    def folder_mode(self) -> int:
        """The bits of a folder that is made for it: who may read the file may enter."""
        return stat.S_IRWXU | (self.mode & 0o044) | (self.mode & 0o044) >> 2

    def fits(self, found: os.stat_result) -> bool:
        """Whether a file is reached by just these."""
        return self == Access(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it is.

    Attributes:
        content: What it holds.
        status: Whose it is, and who may reach it.
    """

    content: bytes
    status: os.stat_result


class Missing(Exception):
    """A folder is not there."""


class Folder:
    """An open folder. The caller sees to it that one thread at a time writes in it."""

    def __init__(self, handle: int, path: Path) -> None:
        self._handle = handle
        self._path = path

    @classmethod
    @contextmanager
    def opened(
        cls, root: Path, below: Sequence[str], access: Access, *, make: bool
    ) -> Iterator[Self]:
        """The folder that is reached from `root` by the steps `below`.

        Args:
            root: Where it begins; links above it are the operator's own.
            below: Names of folders.
            access: Who may reach the files in it.
            make: Whether to make what is missing.

        Raises:
            AccessDenied: A link is on the way, or somebody else may write there.
            Missing: It is missing, and not made.
        """
        if make:
            _make(root, None, access)
        path, handle = root, _begin(root)
        try:
            _require_safe(path, handle, access)
            for step in below:
                path = path / step
                if make:
                    _make(step, handle, access)
                inner = _enter(path, step, handle)
                os.close(handle)
                handle = inner
                _require_safe(path, handle, access)
            yield cls(handle, path)
        finally:
            os.close(handle)

    def read(self, name: str) -> Found | None:
        """The file of this name; None when there is none.

        Raises:
            NotOurs: A link or something else than a file is there, or it is too long.
        """
        try:
            handle = os.open(name, _READ, dir_fd=self._handle)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise NotOurs(f"{self._path / name} is a link or no file") from error
            raise
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > LONGEST:
                raise NotOurs(f"{self._path / name} is no file of ours")
            return Found(stream.read(LONGEST), status)

    def replace(self, name: str, content: bytes, access: Access, *, fresh: bool = False) -> None:
        """Give a file a content in one step, and wait until it is on the medium.

        Args:
            name: Which file.
            content: What it is to hold.
            access: Who may reach it.
            fresh: There must be none yet.

        Raises:
            FileExistsError: There is one, though it must not be.
        """
        partial = _partial(name)
        self.unlink(partial)
        try:
            self._write(partial, content, access)
            if fresh:
                self.link(partial, name)
            else:
                self.rename(partial, name)
        finally:
            with suppress(OSError):
                self.unlink(partial)
        self.sync()

    def clear(self, name: str) -> None:
        """Remove what a crash within `replace` left of a file."""
        self.unlink(_partial(name))

    def remove(self, name: str) -> None:
        """Remove a file, and wait until that is on the medium. A missing one is no error."""
        self.unlink(name)
        self.sync()

    def sync(self) -> None:
        """Wait until the names in it are on the medium."""
        os.fsync(self._handle)

    def rename(self, old: str, new: str) -> None:
        """Put one file in the place of another."""
        os.rename(old, new, src_dir_fd=self._handle, dst_dir_fd=self._handle)

    def link(self, old: str, new: str) -> None:
        """Give a file a second name, which must be free."""
        os.link(old, new, src_dir_fd=self._handle, dst_dir_fd=self._handle, follow_symlinks=False)

    def unlink(self, name: str) -> None:
        """Remove a name; a missing one is no error."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._handle)

    def write(self, handle: int, content: bytes) -> None:
        """Write all of `content`, and wait until it is on the medium."""
        with os.fdopen(handle, "wb", closefd=False) as stream:
            stream.write(content)
        os.fsync(handle)

    def _write(self, name: str, content: bytes, access: Access) -> None:
        handle = os.open(name, _CREATE, 0o600, dir_fd=self._handle)
        try:
            _hand_over(handle, access.owner, access.group)
            os.fchmod(handle, access.mode)
            self.write(handle, content)
        finally:
            os.close(handle)


def _partial(name: str) -> str:
    return f".{name}.credmgr-new"


@contextmanager
def alone(root: Path, clock: Clock, patience: timedelta) -> Iterator[None]:
    """Keep other processes from writing below `root`, which exists.

    Raises:
        BackendUnavailable: Another one did so for all of `patience`.
    """
    handle, ends = _begin(root), clock.monotonic() + patience
    try:
        while not _locked(handle):
            if clock.monotonic() >= ends:
                raise BackendUnavailable(f"another process has been writing in {root}")
            clock.wait(Event(), _PAUSE)
        yield
    finally:
        os.close(handle)


@contextmanager
def translated(root: Path) -> Iterator[None]:
    """Turn what the disk raises into errors of ours."""
    try:
        yield
    except OSError as error:
        raise _meaning(root, error) from error


def _meaning(root: Path, error: OSError) -> BackendError:
    sentence = f"{root}: {error.filename or 'the disk'}: {error.strerror}"
    if error.errno in _DENIED:
        hint = f"let user {os.geteuid()}, who runs credmgr, write there"
        return AccessDenied(sentence, hint=hint)
    if error.errno in _TOO_LONG:
        return LimitExceeded(sentence)
    if isinstance(error, NotADirectoryError | IsADirectoryError | FileExistsError):
        return NotOurs(sentence, hint="something else is in the place of the file or its folder")
    return BackendUnavailable(sentence)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make(name: str | Path, above: int | None, access: Access) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=above)
    except FileExistsError:
        return
    handle = os.open(name, _FOLDER, dir_fd=above)
    try:
        _hand_over(handle, access.owner, access.group)
        os.fchmod(handle, access.folder_mode)
    finally:
        os.close(handle)
    if above is not None:
        os.fsync(above)


def _hand_over(handle: int, owner: int, group: int) -> None:
    found = os.fstat(handle)
    if (found.st_uid, found.st_gid) != (owner, group):
        os.fchown(handle, owner, group)


def _begin(root: Path) -> int:
    try:
        return os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise Missing from error


def _enter(path: Path, step: str, above: int) -> int:
    try:
        return os.open(step, _FOLDER, dir_fd=above)
    except FileNotFoundError as error:
        raise Missing from error
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP) and _is_link(step, above):
            raise AccessDenied(
                f"{path} is a symbolic link, which is not followed",
                hint="make it a folder, or begin `path` where the link leads",
            ) from error
        raise


def _is_link(step: str, above: int) -> bool:
    return stat.S_ISLNK(os.stat(step, dir_fd=above, follow_symlinks=False).st_mode)


def _require_safe(path: Path, handle: int, access: Access) -> None:
    found = os.fstat(handle)
    if found.st_uid not in {0, os.geteuid(), access.owner}:
        raise AccessDenied(
            f"{path} belongs to user {found.st_uid}, who could lead the copy elsewhere",
            hint=f"chown it to user {os.geteuid()}, to root or to the file's owner",
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise AccessDenied(
            f"others can write in {path} (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"chmod go-w {path}",
        )
