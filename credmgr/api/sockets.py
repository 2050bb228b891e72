"""What the API listens on: bound by us before the server takes it, with modes of our choosing."""

import errno
import fcntl
import os
import resource
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from credmgr.errors import ConfigError, NotAllowedNow

BACKLOG: Final = 1024
_FOLDER_MODE: Final = 0o750
_SOCKET_MODE: Final = 0o660
_LONGEST: Final = 107
"""Bytes of a Unix socket's path (unix(7), less the closing NUL)."""


@dataclass(frozen=True, slots=True)
class UnixListener:
    """A Unix socket that we listen on.

    Attributes:
        socket: Open, listening.
        path: Where it is.
        inode: By which we know it again.
    """

    socket: socket.socket
    path: Path
    inode: int

    def close(self) -> None:
        """Close it, and take it away unless somebody else has put his in its place."""
        self.socket.close()
        with suppress(OSError):
            if self.path.lstat().st_ino == self.inode:
                self.path.unlink()


def make_room(files: int) -> None:
    """Let this process have so many files open, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = files if hard == resource.RLIM_INFINITY else min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def listen_unix(path: Path) -> UnixListener:
    """Listen on a Unix socket (0660) in a folder that is made (0750) where it is missing.

    Raises:
        NotAllowedNow: Another process serves it.
        ConfigError: Its path or folder cannot be used.
    """
    if len(os.fsencode(path)) > _LONGEST:
        raise ConfigError(
            f"the path of the socket has {len(os.fsencode(path))} bytes; the system takes"
            f" {_LONGEST}: {path}",
            hint="choose a shorter `api.socket`",
        )
    try:
        with _folder_alone(path.parent), ExitStack() as stack:
            _clear(path)
            made = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            made.bind(str(path))
            path.chmod(_SOCKET_MODE)  # before anybody can connect
            made.listen(BACKLOG)
            stack.pop_all()
    except OSError as error:
        raise ConfigError(f"nothing can listen on {path}: {error.strerror}") from error
    return UnixListener(made, path, path.lstat().st_ino)


def listen_tcp(address: tuple[str, int]) -> socket.socket:
    """Listen on an address and port.

    Raises:
        ConfigError: It cannot be listened on.
    """
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"nothing can listen on {host} port {port}: {error.strerror}",
            hint="choose another `api.listen`",
        ) from error


@contextmanager
def _folder_alone(folder: Path) -> Iterator[None]:
    """Nobody else of us works in the folder meanwhile, which is ours alone to write to."""
    with suppress(FileExistsError):
        folder.mkdir(mode=_FOLDER_MODE, parents=True)
        folder.chmod(_FOLDER_MODE)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise ConfigError(
            f"{folder} must be a folder of ours that nobody else can write to",
            hint=f"chown it to credmgr's user, and chmod 750 {folder}",
        )
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _clear(path: Path) -> None:
    """Take a socket away that a dead process left."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} is there and is no socket", hint="choose another `api.socket`")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        outcome = probe.connect_ex(str(path))
    if outcome != errno.ECONNREFUSED:
        raise NotAllowedNow(f"another process serves {path}")
    path.unlink()
