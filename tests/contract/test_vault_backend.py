"""The backend contract against a real OpenBao, with exactly the published policy."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from credmgr.backends.vault import VaultBackendFactory, VaultOptions
from credmgr.backends.vault.options import AppRoleSignIn
from credmgr.model.names import Name
from credmgr.plugins.backend import SecretBackend
from credmgr.plugins.context import PluginContext
from credmgr.testing import BackendContract
from credmgr.testing.backend_faults import Faulty
from credmgr.testing.backend_moves import Plant, Reopen
from credmgr.testing.fault_proxy import FaultProxy
from tests.integration.openbao import POLICY, Bao, context_of, dev_server


@pytest.fixture(scope="module")
def bao() -> Iterator[Bao]:
    with dev_server() as server:
        server.policy("credmgr", POLICY.read_text())
        yield server


@pytest.fixture(scope="module")
def proxy(bao: Bao) -> Iterator[FaultProxy]:
    with FaultProxy(bao.address) as started:
        yield started


@pytest.fixture(scope="module")
def role(bao: Bao) -> tuple[str, str]:
    return bao.role("credmgr")


class TestVaultBackend(BackendContract):
    factory = VaultBackendFactory()

    @pytest.fixture
    def options(self, bao: Bao, role: tuple[str, str]) -> VaultOptions:
        return VaultOptions(bao.address, approle=AppRoleSignIn(role[0], "env:secret_id"))

    @pytest.fixture
    def context(self, tmp_path: Path, role: tuple[str, str]) -> PluginContext:
        return context_of(tmp_path, secret_id=role[1])

    @pytest.fixture
    def backend(self, options: VaultOptions, context: PluginContext) -> Iterator[SecretBackend]:
        session = self.factory.open(options, context)
        yield session
        session.close()

    @pytest.fixture
    def reopen(self, options: VaultOptions, context: PluginContext) -> Reopen:
        return lambda: self.factory.open(options, context)

    @pytest.fixture
    def faulty(self, proxy: FaultProxy, role: tuple[str, str], context: PluginContext) -> Faulty:
        role_id = AppRoleSignIn(role[0], "env:secret_id")

        def through(deadline: timedelta) -> SecretBackend:
            options = VaultOptions(proxy.url, approle=role_id, timeout=deadline)
            return self.factory.open(options, context)

        return Faulty(proxy, through)

    @pytest.fixture
    def foreign(self, bao: Bao) -> Plant:
        def plant(name: Name) -> Callable[[], object]:
            path = f"credmgr/{name}"
            bao.ask("POST", f"secret/data/{path}", {"data": {"value": "notes of somebody else"}})
            return lambda: [
                {**bao.ask("GET", f"secret/{kind}/{path}"), "request_id": ""}
                for kind in ("data", "metadata")
            ]

        return plant
