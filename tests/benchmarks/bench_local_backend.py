"""The encrypted store on disk: what a read and a rotation's writes cost."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

from credmgr.backends.local import LocalBackendFactory, LocalOptions
from credmgr.keyring import Keyring, create_master_key
from credmgr.manifest.references import References
from credmgr.model.clock import SystemClock
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.backend import SecretBackend
from credmgr.plugins.context import PluginContext
from tests.benchmarks.run import Benchmark

NAME = Name("caseforge/api-key")
VALUE = Secret("a value as long as those of most issuers are")


@contextmanager
def benchmarks(folder: Path) -> Iterator[Sequence[Benchmark]]:
    """Read; stage; stage and promote and discard the old one, as a rotation does."""
    master, keyring = folder / "master.key", folder / "keyring.json"
    create_master_key(master)
    Keyring.create(keyring, master)
    context = PluginContext(
        name="local",
        home=folder,
        clock=SystemClock(),
        keys=Keyring.open(keyring, master),
        references=References(folder),
        deadline=timedelta(seconds=60),
    )
    backend = LocalBackendFactory().open(LocalOptions("secrets"), context)
    life = Life(backend)
    life.rotate()
    yield (
        Benchmark("local backend: read the current value", lambda: backend.read(NAME)),
        Benchmark("local backend: stage and discard a value", life.stage),
        Benchmark("local backend: stage, promote, discard", life.rotate),
    )
    backend.close()


class Life:
    """One name's values, one after the other."""

    def __init__(self, backend: SecretBackend) -> None:
        self.backend = backend
        self.current: UUID | None = None

    def stage(self) -> None:
        version = uuid4()
        self.backend.stage(NAME, VALUE, version)
        self.backend.discard(NAME, version)

    def rotate(self) -> None:
        version, old = uuid4(), self.current
        self.backend.stage(NAME, VALUE, version)
        self.backend.promote(NAME, version, old)
        self.current = version
        if old is not None:
            self.backend.discard(NAME, old)
