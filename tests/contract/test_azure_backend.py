"""Azure Key Vault against the one contract: on the fake, and on lowkey-vault where it is."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

import pytest

from credmgr.backends.azure_key_vault import AzureBackendFactory
from credmgr.backends.azure_key_vault.naming import STAGED, spelled
from credmgr.backends.azure_key_vault.session import AzureBackend
from credmgr.model.names import Name
from credmgr.testing import BackendContract
from credmgr.testing.backend_faults import Faulty
from credmgr.testing.backend_moves import Plant, Reopen
from credmgr.testing.fault_proxy import FaultProxy
from credmgr.testing.key_vault import FakeKeyVault
from tests.integration.key_vaults import a_context, factory_for, granted, needed, options_for

PREFIX: Final = "team-"


@pytest.fixture(scope="module")
def vault() -> Iterator[FakeKeyVault]:
    """One for all checks; in the end, each call must have been within the role that we ship."""
    with FakeKeyVault(permits=granted()) as vault:
        yield vault
        assert needed(vault.calls) <= granted()


@pytest.fixture(scope="module")
def proxy(vault: FakeKeyVault) -> Iterator[FaultProxy]:
    with FaultProxy(vault.url, trust=vault.ca_file, certificate=vault.pem_file) as started:
        yield started


class TestAzureBackendOnTheFake(BackendContract):
    factory = AzureBackendFactory()

    @pytest.fixture
    def reopen(self, vault: FakeKeyVault) -> Reopen:
        options = options_for(vault, prefix=PREFIX)
        return lambda: factory_for(vault).open(options, a_context())

    @pytest.fixture
    def backend(self, reopen: Callable[[], AzureBackend]) -> Iterator[AzureBackend]:
        session = reopen()
        yield session
        session.close()

    @pytest.fixture
    def faulty(self, vault: FakeKeyVault, proxy: FaultProxy) -> Faulty:
        options = options_for(vault, vault_url=proxy.url, prefix=PREFIX)

        def through(deadline: timedelta) -> AzureBackend:
            return factory_for(vault).open(options, a_context(deadline=deadline))

        return Faulty(proxy, through)

    @pytest.fixture
    def foreign(self, vault: FakeKeyVault) -> Plant:
        def plant(name: Name) -> Callable[[], object]:
            vault.content.set(PREFIX + spelled(name), {"value": "somebody else's"})
            return lambda: vault.content.versions(PREFIX + spelled(name))

        return plant

    def spelled(self, name: Name) -> str:
        return PREFIX + spelled(name) + STAGED
