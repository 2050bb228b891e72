"""Options, capabilities and limits of Azure Key Vault."""

import ssl
from collections.abc import Callable, Iterable
from typing import Any

from azure.core.credentials import TokenCredential

from credmgr.backends.azure_key_vault.naming import STAGED, Naming, spelled
from credmgr.backends.azure_key_vault.options import AzureAuth, AzureOptions, mistakes_in
from credmgr.backends.azure_key_vault.session import AzureBackend
from credmgr.backends.azure_key_vault.shelves import Shelves
from credmgr.backends.azure_key_vault.sign_in import credential_of
from credmgr.backends.azure_key_vault.vault import LIMITS, Vault, pipeline_settings
from credmgr.errors import ConfigError
from credmgr.model.names import Name
from credmgr.plugins.backend import Capability, Mistake
from credmgr.plugins.context import PluginContext

SignIn = Callable[[AzureAuth, PluginContext, dict[str, Any]], TokenCredential]


class AzureBackendFactory:
    """Opens sessions with a Key Vault.

    Args:
        sign_in: Makes the credential; for tests with a server that takes any token.
    """

    options = AzureOptions
    capabilities = frozenset({Capability.VERSIONS, Capability.SOFT_DELETE})
    limits = LIMITS

    def __init__(self, sign_in: SignIn = credential_of) -> None:
        self._sign_in = sign_in

    def validate(self, options: AzureOptions) -> Iterable[Mistake]:
        """Addresses, tags, and that the way of signing in has what it needs and nothing else."""
        return mistakes_in(options)

    def spelled(self, options: AzureOptions, name: Name) -> str:
        """The name of the object that holds what is staged: the longer one of two."""
        return f"{options.prefix}{spelled(name)}{STAGED}"

    def open(self, options: AzureOptions, context: PluginContext) -> AzureBackend:
        """A session; connects lazily.

        Raises:
            ConfigError: The CA bundle, a reference or the certificate cannot be used.
        """
        _check_bundle(options, context)
        settings = pipeline_settings(options, context)
        if options.authority:
            settings["authority"] = options.authority
        settings["disable_instance_discovery"] = not options.instance_discovery
        vault = Vault(options, context, self._sign_in(options.auth, context, settings))
        shelves = Shelves(vault, context.clock, context.deadline, adopt=options.adopt)
        return AzureBackend(vault, shelves, Naming(options.prefix))


def _check_bundle(options: AzureOptions, context: PluginContext) -> None:
    if not options.ca_bundle:
        return
    try:
        ssl.create_default_context(cafile=context.home / options.ca_bundle)
    except OSError as error:
        raise ConfigError(f"the CA bundle {options.ca_bundle} cannot be used: {error}") from error
