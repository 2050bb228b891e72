"""The Key Vaults that tests use: the fake, and lowkey-vault where its jar is."""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from credmgr.backends.azure_key_vault import AzureBackendFactory, AzureOptions
from credmgr.backends.azure_key_vault.session import AzureBackend
from credmgr.model.clock import Clock, SystemClock
from credmgr.model.secret import Secret
from credmgr.plugins.context import PluginContext
from credmgr.testing.key_vault import FakeKeyVault
from credmgr.testing.key_vault.actions import action_of


class NoKeys:
    def current(self, purpose: str) -> tuple[str, bytes]:
        raise AssertionError(purpose)

    def by_id(self, purpose: str, key_id: str) -> bytes:
        raise AssertionError(purpose, key_id)


@dataclass
class GivenReferences:
    values: dict[str, str] = field(default_factory=dict)

    def resolve(self, reference: str) -> Secret:
        return Secret(self.values[reference])


def a_context(
    *,
    home: Path = Path("/"),
    clock: Clock | None = None,
    deadline: timedelta = timedelta(seconds=30),
    references: dict[str, str] | None = None,
    workers: int = 32,
) -> PluginContext:
    return PluginContext(
        name="azure",
        home=home,
        clock=clock or SystemClock(),
        keys=NoKeys(),
        references=GivenReferences(references or {}),
        workers=workers,
        deadline=deadline,
    )


def options_for(vault: FakeKeyVault, **changes: Any) -> AzureOptions:
    given: dict[str, Any] = {
        "vault_url": vault.url,
        "ca_bundle": str(vault.ca_file),
        "verify_challenge_resource": False,
        "prefix": f"t{secrets.token_hex(3)}-",
    }
    return AzureOptions(**given | changes)


def factory_for(vault: FakeKeyVault) -> AzureBackendFactory:
    return AzureBackendFactory(lambda _auth, _context, _settings: vault.credential)


def opened(
    vault: FakeKeyVault, context: PluginContext | None = None, **changes: Any
) -> AzureBackend:
    return factory_for(vault).open(options_for(vault, **changes), context or a_context())


# --- the role, and what a call needs of it

ROLE: Final = Path(__file__).parents[2] / "policies/backends/azure-role.json"


def granted() -> set[str]:
    """The data actions of the role that we ship."""
    return set(json.loads(ROLE.read_text())["DataActions"])


def needed(calls: Iterable[tuple[str, str]]) -> set[str]:
    """The data actions that calls need."""
    found = {call: action_of(*call) for call in set(calls)}
    assert None not in found.values(), found
    return {action for action in found.values() if action}
