"""The local store: a folder of sealed files, one per name (docs/keyring.md)."""

from credmgr.backends.local.factory import LocalBackendFactory, LocalOptions
from credmgr.backends.local.session import LocalBackend

__all__ = ["LocalBackend", "LocalBackendFactory", "LocalOptions"]
