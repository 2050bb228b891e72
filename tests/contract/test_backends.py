"""Every built-in backend, and the fake, against the one contract."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from credmgr.backends.local import LocalBackend, LocalBackendFactory, LocalOptions
from credmgr.keyring import Keyring
from credmgr.model.clock import SystemClock
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.backend import Limits, SecretBackend
from credmgr.plugins.context import PluginContext
from credmgr.testing import BackendContract, MemoryBackend, MemoryBackendFactory
from credmgr.testing.backend_moves import Plant, Reopen
from credmgr.testing.memory_backend import MemoryOptions

MASTER = bytes(range(32))


class NoReferences:
    def resolve(self, reference: str) -> Secret:
        raise AssertionError(reference)


def a_context(home: Path, keys: Keyring) -> PluginContext:
    return PluginContext(
        name="main",
        home=home,
        clock=SystemClock(),
        keys=keys,
        references=NoReferences(),
        workers=32,
        deadline=timedelta(seconds=30),
    )


@pytest.fixture
def context(tmp_path: Path) -> PluginContext:
    return a_context(tmp_path, Keyring.create(tmp_path / "keyring.json", MASTER))


class TestMemoryBackend(BackendContract):
    factory = MemoryBackendFactory()

    @pytest.fixture
    def backend(self, context: PluginContext) -> SecretBackend:
        return self.factory.open(MemoryOptions(), context)

    @pytest.fixture
    def reopen(self, context: PluginContext) -> Reopen:
        return lambda: self.factory.open(MemoryOptions(), context)

    @pytest.fixture
    def foreign(self, backend: MemoryBackend) -> Plant:
        def plant(name: Name) -> Callable[[], object]:
            backend.foreign.add(name)
            return lambda: name in backend.foreign

        return plant


class TestNarrowMemoryBackend(TestMemoryBackend):
    """With the limits of a Key Vault, so that the checks at a limit below ours are run too."""

    factory = MemoryBackendFactory(Limits(value_bytes=25_600, name_length=127))


class TestLocalBackend(BackendContract):
    factory = LocalBackendFactory()

    @pytest.fixture
    def backend(self, context: PluginContext) -> Iterator[LocalBackend]:
        session = self.factory.open(LocalOptions(), context)
        yield session
        session.close()

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        def again() -> SecretBackend:
            keys = Keyring.open(tmp_path / "keyring.json", MASTER)
            return self.factory.open(LocalOptions(), a_context(tmp_path, keys))

        return again

    @pytest.fixture
    def foreign(self, tmp_path: Path) -> Plant:
        def plant(name: Name) -> Callable[[], object]:
            file = tmp_path / "secrets" / "sealed" / name.replace("/", "+")
            file.write_text("notes of somebody else\n")
            file.chmod(0o600)
            return file.read_bytes

        return plant
