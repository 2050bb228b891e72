"""Azure Key Vault as a backend (docs/backends/azure.md)."""

from credmgr.backends.azure_key_vault.factory import AzureBackendFactory
from credmgr.backends.azure_key_vault.options import AzureAuth, AzureOptions
from credmgr.backends.azure_key_vault.session import AzureBackend

__all__ = ["AzureAuth", "AzureBackend", "AzureBackendFactory", "AzureOptions"]
