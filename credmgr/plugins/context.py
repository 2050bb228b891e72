"""What every plugin factory is handed besides its options."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from credmgr.model.clock import Clock
from credmgr.model.secret import Secret

DEADLINE: Final = timedelta(seconds=10)
"""The longest that one call to the outside takes in all, unless a plugin is told otherwise."""


class Keys(Protocol):
    """The data keys of this installation, each wrapped by the master key at rest."""

    def current(self, purpose: str) -> tuple[str, bytes]:
        """The id and the 32 bytes of the key to seal with now; made on first use.

        Raises:
            KeyringError: The keyring cannot be opened or written.
        """
        ...

    def by_id(self, purpose: str, key_id: str) -> bytes:
        """The 32 bytes of a key that something was sealed with earlier.

        Raises:
            KeyringError: There is no such key.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reference:
    """Marks an option as a reference: `Annotated[str, Reference()]`, or with `str | None` inside.

    The manifest then refuses anything but `file:PATH`, `env:NAME` or `systemd-credential:NAME`
    there, without echoing it; what it leads to is read only when a session opens.
    """


class References(Protocol):
    """Resolves the references by which a manifest names a secret that credmgr itself needs."""

    def resolve(self, reference: str) -> Secret:
        """The value behind `file:PATH`, `env:NAME` or `systemd-credential:NAME`.

        Raises:
            ConfigError: The reference is malformed, or leads to nothing, or to a file that others
                can read.
        """
        ...


@dataclass(frozen=True, slots=True)
class PluginContext:
    """The surroundings of one plugin instance.

    Attributes:
        name: The instance's name in the manifest.
        home: The folder that relative paths in the manifest start from.
        clock: The only source of time.
        keys: Data keys for plugins that seal.
        references: Resolves `file:`, `env:` and `systemd-credential:`.
        workers: How many threads may use the session at once; pools are sized to it.
        deadline: The longest that one call to the outside may take in all.
    """

    name: str
    home: Path
    clock: Clock
    keys: Keys
    references: References
    workers: int = 8
    deadline: timedelta = DEADLINE
