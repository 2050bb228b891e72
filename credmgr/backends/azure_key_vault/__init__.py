"""Azure Key Vault (docs/backends/azure.md); its SDK is imported when a session opens."""

from credmgr.backends.azure_key_vault.factory import AzureBackendFactory
from credmgr.backends.azure_key_vault.options import AzureAuth, AzureOptions

__all__ = ["AzureAuth", "AzureBackendFactory", "AzureOptions"]
