"""References followed: `file:PATH`, `env:NAME`, `systemd-credential:NAME` → the secret behind them.

Read at the moment of use, so that a secret replaced on disk is the one that is used. Every check of
a file is made on the opened file, never on its path, so nothing can be swapped in between.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from credmgr.errors import ConfigError
from credmgr.manifest.forms import is_reference
from credmgr.model.secret import Secret

MAX_BYTES: Final = 64 * 1024
_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_GROUP_AND_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_FOLDER: Final = "CREDENTIALS_DIRECTORY"  # systemd.exec(5), "Credentials"


class References:
    """Follows references; implements `credmgr.plugins.context.References`.

    Args:
        home: The folder that relative paths start from.
        environ: The environment; that of the process unless given.
    """

    __slots__ = ("_environ", "_home")

    def __init__(self, home: Path, environ: Mapping[str, str] | None = None) -> None:
        self._home = home
        self._environ = os.environ if environ is None else environ

    def resolve(self, reference: str) -> Secret:
        """The value behind a reference, without one trailing line end. May be repeated.

        Raises:
            ConfigError: The reference is malformed, or leads to nothing, or to a file that others
                can read or own.
        """
        if not is_reference(reference):
            raise ConfigError(
                "this is not a reference to a secret",
                hint="write file:PATH, env:NAME or systemd-credential:NAME",
            )
        scheme, _, rest = reference.partition(":")
        match scheme:
            case "file":
                return self._text(_contents(self._home / rest, _GROUP_AND_OTHERS), reference)
            case "env":
                return self._variable(rest)
            case _:
                return self._systemd(rest, reference)

    def _variable(self, name: str) -> Secret:
        value = self._environ.get(name, "")
        if not value:
            raise ConfigError(f"env:{name}: the environment variable is not set, or empty")
        return Secret(value)

    def _systemd(self, name: str, reference: str) -> Secret:
        folder = self._environ.get(_FOLDER)
        if not folder:
            raise ConfigError(
                f"{reference}: systemd has handed over no credentials",
                hint=f"write LoadCredential={name}:/path into the unit, or use file:PATH",
            )
        # systemd lets the service's user in by an ACL, whose mask shows as the group's bits.
        return self._text(_contents(Path(folder, name), stat.S_IRWXO | stat.S_IWGRP), reference)

    def _text(self, raw: bytes, reference: str) -> Secret:
        text = _decoded(raw)
        if text is None:
            raise ConfigError(f"{reference}: the file is not UTF-8 text")
        value = text.removesuffix("\n").removesuffix("\r")
        if not value:
            raise ConfigError(f"{reference}: the file is empty")
        if "\0" in value:
            raise ConfigError(f"{reference}: the file holds a NUL byte, so it is not a text")
        return Secret(value)


def _decoded(raw: bytes) -> str | None:
    """The text; None rather than an error, whose traceback would carry the bytes."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _contents(path: Path, forbidden: int) -> bytes:
    """The bytes of a private file.

    Args:
        path: Where it is.
        forbidden: Permission bits that it must not have.

    Raises:
        ConfigError: It cannot be read, or is not private.
    """
    try:
        with open(path, "rb", opener=_opened) as stream:
            _must_be_private(path, os.fstat(stream.fileno()), forbidden)
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unopened(path, error) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than 64 KiB, so it is not a secret")
    return raw


def _opened(path: str, flags: int) -> int:
    """Neither through a link nor waiting for the other end of a pipe."""
    return os.open(path, flags | _FLAGS)


def _unopened(path: Path, error: OSError) -> ConfigError:
    if path.is_symlink():
        return ConfigError(f"{path}: is a symbolic link", hint="name the file that it leads to")
    return ConfigError(f"{path}: {(error.strerror or 'cannot be opened').lower()}")


def _must_be_private(path: Path, found: os.stat_result, forbidden: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path}: is not a regular file")
    if found.st_uid not in {os.geteuid(), 0}:
        raise ConfigError(
            f"{path}: belongs to user {found.st_uid}",
            hint=f"it must belong to user {os.geteuid()} or root",
        )
    if found.st_mode & forbidden:
        raise ConfigError(
            f"{path}: others can read or write it (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"chmod 600 {path}",
        )
