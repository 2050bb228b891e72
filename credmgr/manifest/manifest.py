"""The manifest as the rest of credmgr sees it: checked whole, nothing left to doubt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from credmgr.manifest.tree import Spot
from credmgr.model.consumer import Consumer
from credmgr.model.credential import Credential
from credmgr.model.names import Name
from credmgr.model.routing import Routing
from credmgr.model.token import TokenPlace
from credmgr.plugins.backend import BackendFactory
from credmgr.plugins.issuer import IssuerFactory
from credmgr.plugins.notifier import NotifierFactory
from credmgr.plugins.sink import SinkFactory

F = TypeVar("F")

API_THREADS: Final = 16
"""Requests to the API that are worked on at once."""
_PLACES: Final = 4
"""Calls to stores at once for each rotation that moves."""


@dataclass(frozen=True, slots=True)
class StateSettings:
    """Where credmgr keeps what it knows.

    Attributes:
        database: `sqlite:////absolute/path` or `postgresql://user@host/database`; no password.
        database_password: Reference to PostgreSQL's password, or None.
        master_key: Reference to the key that wraps the data keys.
        keyring: File of wrapped data keys, absolute.
        checkpoint: File of the audit chain's head, absolute.
    """

    database: str
    database_password: str | None
    master_key: str
    keyring: Path
    checkpoint: Path


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """How `credmgr run` works.

    Attributes:
        tick: How often it asks what is due.
        workers: How many rotations move at once.
        drain: How long it finishes what it began after it was told to stop.
        lease: How long a process owns a rotation before another may take it over.
        copies: How often each copy is looked at, to find one that was changed.
    """

    tick: timedelta = timedelta(seconds=10)
    workers: int = 8
    drain: timedelta = timedelta(seconds=30)
    lease: timedelta = timedelta(seconds=60)
    copies: timedelta = timedelta(minutes=15)

    @property
    def spread(self) -> int:
        """How many copies of all rotations are written at once."""
        return self.workers * _PLACES

    @property
    def at_once(self) -> int:
        """How many threads may use one session at once.

        Those of rotations, of what these spread to, of the looks at copies, of tokens and of the
        API.
        """
        return 3 * self.workers + self.spread + API_THREADS


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """How the HTTP API is served.

    Attributes:
        socket: The Unix socket, absolute.
        listen: An address and port besides, or None.
        hosts: Further values of the Host header that are taken.
        enabled: Whether it is served at all.
    """

    socket: Path
    listen: tuple[str, int] | None = None
    hosts: tuple[str, ...] = ()
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class PackUse:
    """A rule pack as the manifest names it.

    Attributes:
        pack: A name of those that come with credmgr, or a file relative to the manifest's folder.
        inputs: What the pack wants to know.
        at: Where the manifest says so.
    """

    pack: str
    inputs: Mapping[str, str]
    at: Spot


@dataclass(frozen=True, slots=True)
class Configured(Generic[F]):
    """A plugin as the manifest configures it.

    Attributes:
        plugin: The plugin's name.
        factory: What opens its sessions.
        options: An instance of `factory.options`.
    """

    plugin: str
    factory: F
    options: Any


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one `credmgr.yaml`, with the files that it includes, declares.

    Attributes:
        state: Where credmgr keeps what it knows.
        daemon: How `credmgr run` works.
        api: How it serves consumers.
        backends: Stores of secrets.
        sinks: Places that copies are written to and never read from.
        issuers: Authorities that make and revoke secrets.
        notifiers: Channels by which people hear of alerts.
        consumers: Workloads and what they may read.
        credentials: What credmgr manages.
        policies: The rule packs in use.
        alerts: Who is told of what, and when.
        variables: The variable in which a credential is handed to a command, where declared.
        tokens: Where fresh tokens of a credential are kept.
        home: The manifest's folder, absolute; relative paths start from it.
        files: Every file read, absolute, the manifest first.
        digest: SHA-256 of what it says, hexadecimal; comments, order and layout do not count.
    """

    state: StateSettings
    daemon: DaemonSettings
    api: ApiSettings
    backends: Mapping[Name, Configured[BackendFactory]]
    sinks: Mapping[Name, Configured[SinkFactory]]
    issuers: Mapping[Name, Configured[IssuerFactory]]
    notifiers: Mapping[Name, Configured[NotifierFactory]]
    consumers: Mapping[Name, Consumer]
    credentials: Mapping[Name, Credential]
    home: Path
    files: tuple[Path, ...]
    digest: str
    policies: tuple[PackUse, ...] = field(default=())
    alerts: Routing = field(default_factory=Routing)
    variables: Mapping[Name, str] = field(default_factory=dict)
    tokens: Mapping[Name, tuple[TokenPlace, ...]] = field(default_factory=dict)
