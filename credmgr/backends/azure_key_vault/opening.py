"""Options and context become a session."""

import ssl
from collections.abc import Callable
from typing import Any

from azure.core.credentials import TokenCredential

from credmgr.backends.azure_key_vault.naming import Naming
from credmgr.backends.azure_key_vault.options import AzureAuth, AzureOptions
from credmgr.backends.azure_key_vault.session import AzureBackend
from credmgr.backends.azure_key_vault.shelves import Shelves
from credmgr.backends.azure_key_vault.sign_in import credential_of
from credmgr.backends.azure_key_vault.vault import Vault, pipeline_settings
from credmgr.errors import ConfigError
from credmgr.plugins.context import PluginContext


def opened(
    options: AzureOptions,
    context: PluginContext,
    sign_in: Callable[[AzureAuth, PluginContext, dict[str, Any]], TokenCredential] | None = None,
) -> AzureBackend:
    """A session; it signs in when it is first used.

    Args:
        options: Without mistakes.
        context: Surroundings.
        sign_in: Makes the credential; None is what `auth` says.

    Raises:
        ConfigError: The CA bundle, a reference or the certificate cannot be used.
    """
    _check_bundle(options, context)
    settings = pipeline_settings(options, context)
    if options.authority:
        settings["authority"] = options.authority
    settings["disable_instance_discovery"] = not options.instance_discovery
    vault = Vault(options, context, (sign_in or credential_of)(options.auth, context, settings))
    shelves = Shelves(vault, context.clock, context.deadline, adopt=options.adopt)
    return AzureBackend(vault, shelves, Naming(options.prefix))


def _check_bundle(options: AzureOptions, context: PluginContext) -> None:
    if not options.ca_bundle:
        return
    try:
        ssl.create_default_context(cafile=context.home / options.ca_bundle)
    except OSError as error:
        raise ConfigError(f"the CA bundle {options.ca_bundle} cannot be used: {error}") from error
