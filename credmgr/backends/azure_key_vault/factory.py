"""Options, capabilities and limits of Azure Key Vault, and the opening of sessions."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from credmgr.backends.azure_key_vault.naming import STAGED, spelled
from credmgr.backends.azure_key_vault.options import LIMITS, AzureAuth, AzureOptions, mistakes_in
from credmgr.errors import ConfigError
from credmgr.model.names import Name
from credmgr.plugins.backend import Capability, Mistake
from credmgr.plugins.context import PluginContext

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from credmgr.backends.azure_key_vault.session import AzureBackend

    SignIn = Callable[[AzureAuth, PluginContext, dict[str, Any]], TokenCredential]


class AzureBackendFactory:
    """Opens sessions with a Key Vault.

    Args:
        sign_in: Makes the credential; for tests with a server that takes any token.
    """

    options = AzureOptions
    capabilities = frozenset({Capability.VERSIONS, Capability.SOFT_DELETE})
    limits = LIMITS

    def __init__(self, sign_in: "SignIn | None" = None) -> None:
        self._sign_in = sign_in

    def validate(self, options: AzureOptions) -> Iterable[Mistake]:
        """Addresses, tags, and that the way of signing in has what it needs and nothing else."""
        return mistakes_in(options)

    def spelled(self, options: AzureOptions, name: Name) -> str:
        """The name of the object that holds what is staged: the longer one of two."""
        return f"{options.prefix}{spelled(name)}{STAGED}"

    def open(self, options: AzureOptions, context: PluginContext) -> "AzureBackend":
        """A session; connects lazily.

        Raises:
            ConfigError: The Azure SDK is not installed, or the CA bundle, a reference or the
                certificate cannot be used.
        """
        try:
            from credmgr.backends.azure_key_vault import opening  # noqa: PLC0415 (an extra)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "azure":
                raise
            raise ConfigError(
                "the backend azure needs the Azure SDK", hint="pip install 'credmgr[azure]'"
            ) from error
        return opening.opened(options, context, self._sign_in)
