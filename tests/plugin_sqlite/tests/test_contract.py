"""The plugin passes the contract."""

# region: contract
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from credmgr.keyring import Keyring
from credmgr.manifest.references import References
from credmgr.model.clock import SystemClock
from credmgr.plugins.backend import SecretBackend
from credmgr.plugins.context import PluginContext
from credmgr.plugins.loading import BACKENDS, load
from credmgr.testing import BackendContract


class TestSqliteFile(BackendContract):
    factory = load(BACKENDS, "sqlite-file")  # by its entry point, as credmgr does

    @pytest.fixture
    def backend(self, reopen: Callable[[], SecretBackend]) -> Iterator[SecretBackend]:
        session = reopen()
        yield session
        session.close()

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], SecretBackend]:
        keys = Keyring.create(tmp_path / "keyring.json", bytes(32))
        context = PluginContext("test", tmp_path, SystemClock(), keys, References(tmp_path))
        return lambda: self.factory.open(self.factory.options(), context)

    # endregion
