"""How a sandbox is set up, and its admin token."""

import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import mkstemp
from typing import Final

from credmgr.errors import ConfigError
from credmgr.model.secret import Secret
from credmgr.sandbox.catalogue import ALL_SCOPES

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8660
MEMORY: Final = ":memory:"
_SHORTEST_TOKEN_LIFE: Final = timedelta(seconds=1)
_LONGEST_TOKEN_LIFE: Final = timedelta(days=1)
_HIGHEST_PORT: Final = 65_535
_TOKEN_BYTES: Final = 32
_MOST_TOKEN_FILE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """Everything that can be chosen about a sandbox.

    Attributes:
        database: Path of the one SQLite file that holds all state, or ":memory:" for a sandbox that
            forgets. The file is made with mode 0600: it holds the key that signs access tokens.
        host: Address to listen on; refused unless loopback or `allow_remote`.
        port: TCP port; 0 picks a free one.
        allow_remote: Listen on an address that other machines can reach.
        admin_token: Bearer token of the management API; wins over `admin_token_file`.
        admin_token_file: Where that token is read from; made with mode 0600 when missing. With
            neither, a token is made up that lives as long as the process.
        token_lifetime: Life of access tokens in whole seconds, 1 s to 1 day.
        key_scopes: Scopes of an API key that is created without any.
        revoke_tokens_with_secret: Access tokens die with the secret that minted them. CaseForge
            says nothing of this, so the default is what a signed token does anywhere: live until
            it expires.
        keep_log_entries: How much of the ground truth is kept; older entries are dropped.

    Raises:
        ConfigError: A value is out of range, or the host is not loopback.
    """

    database: str | Path = MEMORY
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    allow_remote: bool = False
    admin_token: Secret | None = None
    admin_token_file: Path | None = None
    token_lifetime: timedelta = timedelta(minutes=60)
    key_scopes: Sequence[str] = ALL_SCOPES
    revoke_tokens_with_secret: bool = False
    keep_log_entries: int = 1_000_000

    def __post_init__(self) -> None:
        if not 0 <= self.port <= _HIGHEST_PORT:
            raise ConfigError(f"port {self.port} is outside 0 to {_HIGHEST_PORT}")
        if not self.allow_remote and not _is_loopback(self.host):
            raise ConfigError(
                f"the sandbox would be reachable from other machines on {self.host}",
                hint="listen on 127.0.0.1, or allow remote access explicitly",
            )
        if not _SHORTEST_TOKEN_LIFE <= self.token_lifetime <= _LONGEST_TOKEN_LIFE:
            raise ConfigError("access tokens live for one second to one day")
        if self.token_lifetime.microseconds:
            raise ConfigError("access tokens live for whole seconds, as `expires_in` is an integer")
        if unknown := sorted(set(self.key_scopes) - set(ALL_SCOPES)):
            raise ConfigError(f"CaseForge has no scope {', '.join(unknown)}")
        if self.keep_log_entries < 1:
            raise ConfigError("at least one log entry is kept")


def load_admin_token(config: SandboxConfig) -> Secret:
    """The admin token that `config` asks for, made when it does not exist yet.

    May be repeated: a token file that was made once is read from then on.

    Raises:
        ConfigError: The file is empty, unreadable, not a regular file, or open to other users.
    """
    if config.admin_token is not None:
        return config.admin_token
    if config.admin_token_file is None:
        return Secret(secrets.token_urlsafe(_TOKEN_BYTES))
    path = config.admin_token_file
    if not path.exists() and not path.is_symlink():
        _make_token_file(path)
    return _read_token_file(path)


def _make_token_file(path: Path) -> None:
    """Make the file in one step: nobody ever reads half of it, and one that is there stays."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, draft = mkstemp(prefix=".", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{secrets.token_urlsafe(_TOKEN_BYTES)}\n")
            with suppress(FileExistsError):
                os.link(draft, path)
        finally:
            Path(draft).unlink()
    except OSError as error:
        raise ConfigError(f"{path} cannot be made: {error.strerror}") from error


def _read_token_file(path: Path) -> Secret:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            content = file.read(_MOST_TOKEN_FILE_BYTES)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConfigError(f"{path} is open to other users", hint=f"chmod 600 {path}")
    text = content.decode("ascii", errors="replace").strip()
    if not text or not text.isprintable() or not text.isascii():
        raise ConfigError(f"{path} holds no token", hint="remove it, and a new one is made")
    return Secret(text)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
