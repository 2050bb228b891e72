"""Options, capabilities and limits of the local store."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from credmgr.backends.local.sealing import Sealer
from credmgr.backends.local.session import LIMITS, LocalBackend
from credmgr.keyring import Disk
from credmgr.plugins.backend import Capability, Mistake
from credmgr.plugins.context import PluginContext

PURPOSE: Final = "local:"
"""With the backend's name behind it, the purpose of its data keys in the keyring."""


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """Where the store is.

    Attributes:
        path: The folder, relative to credmgr's home; made with mode 0700 when it is missing.
    """

    path: str = "secrets"


class LocalBackendFactory:
    """Opens sessions with a folder of sealed files."""

    options = LocalOptions
    capabilities = frozenset({Capability.CAS, Capability.VERSIONS})
    limits = LIMITS

    def __init__(self, disk: Disk | None = None) -> None:
        self._disk = disk or Disk()

    def validate(self, options: LocalOptions) -> Iterable[Mistake]:
        """The path must be one."""
        if not options.path.strip() or "\0" in options.path:
            yield Mistake("path", "the path is empty or no path", "name a folder of its own")

    def open(self, options: LocalOptions, context: PluginContext) -> LocalBackend:
        """A session; makes the folder when it is missing.

        Raises:
            AccessDenied: The folder is open to other users, or cannot be made.
            BackendUnavailable: The disk fails.
        """
        return LocalBackend(
            folder=context.home / Path(options.path).expanduser(),
            sealer=Sealer(context.keys, f"{PURPOSE}{context.name}"),
            clock=context.clock,
            patience=context.deadline,
            disk=self._disk,
        )
