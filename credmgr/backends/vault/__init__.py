"""HashiCorp Vault and OpenBao: secrets in a KV v2 mount (docs/backends/vault.md)."""

from credmgr.backends.vault.factory import VaultBackendFactory
from credmgr.backends.vault.options import VaultOptions

__all__ = ["VaultBackendFactory", "VaultOptions"]
