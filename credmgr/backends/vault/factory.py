"""Capabilities and limits of Vault and OpenBao, and the opening of sessions."""

from collections.abc import Iterable
from typing import Final

from credmgr.backends.vault.options import VaultOptions, mistakes
from credmgr.errors import ConfigError
from credmgr.model.names import MAX_NAME_LENGTH
from credmgr.plugins.backend import Capability, Limits, Mistake, SecretBackend
from credmgr.plugins.context import PluginContext

LIMITS: Final = Limits(value_bytes=65_536, name_length=MAX_NAME_LENGTH)
"""An entry has 1 MiB on integrated storage and 512 KiB on Consul, and JSON makes up to six bytes of
one (`\\u0000`, `\\u003c`): 64 KiB always fit, and 16 KiB of constants beside them (480 KiB at the
most, with 32 left for names, quotes and the server's own). Names have no limit below ours."""


class VaultBackendFactory:
    """Opens sessions with a KV v2 mount of HashiCorp Vault or OpenBao."""

    options = VaultOptions
    capabilities = frozenset({Capability.CAS, Capability.VERSIONS})
    limits = LIMITS

    def validate(self, options: VaultOptions) -> Iterable[Mistake]:
        """Address, paths, exactly one sign-in."""
        return mistakes(options)

    def open(self, options: VaultOptions, context: PluginContext) -> SecretBackend:
        """A session; it signs in when it is first used.

        Raises:
            ConfigError: hvac is not installed, or a CA bundle or client certificate cannot be read.
        """
        try:
            from credmgr.backends.vault.opening import opened  # noqa: PLC0415 (hvac is an extra)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing == "credmgr":
                raise
            raise ConfigError(
                f"the backend vault needs {missing}", hint="pip install 'credmgr[vault]'"
            ) from error
        return opened(options, context)
