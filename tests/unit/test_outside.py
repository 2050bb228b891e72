"""One session of each place for the whole process, with room for every thread that may use it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any, Final

from credmgr.api.work import Work
from credmgr.bootstrap import App, build
from credmgr.cli import home as homes
from credmgr.daemon import Daemon
from credmgr.manifest import load
from credmgr.model.clock import SystemClock
from credmgr.model.names import Name
from credmgr.plugins.context import PluginContext
from credmgr.testing.memory_backend import MemoryBackend, MemoryBackendFactory

LOCAL: Final = Name("local")
CALLERS: Final = 32


class CountingFactory(MemoryBackendFactory):
    """Notes with which context each session was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[PluginContext] = []

    def open(self, options: Any, context: PluginContext) -> MemoryBackend:
        self.opened.append(context)
        return super().open(options, context)


@contextmanager
def built(folder: Path) -> Iterator[tuple[App, CountingFactory]]:
    homes.make(folder, homes.starter(homes.MANIFEST))
    manifest, factory = load(folder / "credmgr.yaml"), CountingFactory()
    local = replace(manifest.backends[LOCAL], factory=factory, options=factory.options())
    app = build(replace(manifest, backends={LOCAL: local}), clock=SystemClock())
    yield app, factory
    app.close()


def test_many_threads_share_one_session(tmp_path: Path) -> None:
    with built(tmp_path / "home") as (app, factory):
        together = Barrier(CALLERS)

        def ask(_: int) -> int:
            together.wait()
            return id(app.outside.backends[LOCAL])

        with ThreadPoolExecutor(CALLERS) as pool:
            assert len(set(pool.map(ask, range(CALLERS)))) == 1
        assert len(factory.opened) == 1


def test_a_session_has_room_for_every_thread_that_may_use_it(tmp_path: Path) -> None:
    with built(tmp_path / "home") as (app, factory):
        app.outside.backends[LOCAL].check()
        daemon, work = Daemon(app, lambda: app.manifest, lambda _: None), Work()
        pools = (daemon._pool, daemon._copies, app.outside._pool, work._pool)
        tokens = app.manifest.daemon.workers
        assert factory.opened[0].workers == sum(pool._max_workers for pool in pools) + tokens
