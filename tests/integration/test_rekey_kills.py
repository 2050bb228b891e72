"""kill -9 before, within and after every write, fsync, rename and unlink; then everything reads.

pytest starts this file as a program of its own, once per operation. The program has one thread, so
it can fork: each child does the operation with a disk that kills it at one moment; the parent looks
at what is left, repeats the operation, and looks again.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest

from credmgr.backends.local import LocalBackend, LocalBackendFactory, LocalOptions
from credmgr.errors import SecretNotFound
from credmgr.keyring import Disk, Keyring, create_master_key
from credmgr.model.clock import SystemClock
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.context import PluginContext
from credmgr.testing.disks import BreakingDisk, kill_myself

PURPOSE = "local:main"
VERSIONS = [UUID(int=number) for number in range(1, 6)]
NAMES = [Name("a"), Name("a/b"), Name("caseforge/api-key")]
MEMORY = Path("/dev/shm")  # noqa: S108 (a folder of our own is made in it)


class NoReferences:
    def resolve(self, reference: str) -> Secret:
        raise AssertionError(reference)


@dataclass(frozen=True)
class Site:
    """An installation: a master key, a keyring, a local store."""

    home: Path
    disk: Disk

    @property
    def master(self) -> Path:
        return self.home / "master.key"

    def keyring(self) -> Keyring:
        return Keyring.open(self.home / "keyring.json", self.master, disk=self.disk)

    def backend(self, keys: Keyring) -> LocalBackend:
        context = PluginContext("main", self.home, SystemClock(), keys, NoReferences())
        return LocalBackendFactory(self.disk).open(LocalOptions("store"), context)


def build(site: Site) -> None:
    create_master_key(site.master)
    keys = Keyring.create(site.home / "keyring.json", site.master)
    keys.current("audit")
    keys.current("fingerprint")
    backend = site.backend(keys)
    for name in NAMES:
        expect = None
        for version in VERSIONS[:2]:
            backend.stage(name, Secret(f"{name} {version}"), version)
            backend.promote(name, version, expect)
            expect = version
        backend.stage(name, Secret(f"{name} {VERSIONS[2]}"), VERSIONS[2])
    backend.check()


def state(site: Site) -> dict[str, str]:
    """Everything that can be read, as text."""
    keys = site.keyring()
    backend = site.backend(keys)
    backend.check()
    found = {purpose: keys.current(purpose)[1].hex() for purpose in ("audit", "fingerprint")}
    for name in NAMES:
        for stage in Stage:
            try:
                held = backend.read(name, stage)
            except SecretNotFound:
                continue
            found[f"{name} {stage}"] = f"{held.version} {held.secret.reveal()}"
    return found


# --- the operations, each of which may be repeated


def rekey(site: Site) -> None:
    site.keyring().rekey()


def rekey_data(site: Site) -> None:
    keys = site.keyring()
    keys.rekey_data({PURPOSE: site.backend(keys).reseal})


def stage(site: Site) -> None:
    site.backend(site.keyring()).stage(NAMES[0], Secret("new"), VERSIONS[3])


def promote(site: Site) -> None:
    site.backend(site.keyring()).promote(NAMES[0], VERSIONS[2], VERSIONS[1])


def discard(site: Site) -> None:
    site.backend(site.keyring()).discard(NAMES[0], VERSIONS[0])


def delete(site: Site) -> None:
    site.backend(site.keyring()).delete(NAMES[0])


OPERATIONS: dict[str, Callable[[Site], None]] = {
    operation.__name__: operation
    for operation in (rekey, rekey_data, stage, promote, discard, delete)
}


# --- the program


def killed(home: Path, operation: Callable[[Site], None], moment: int) -> bool:
    """Do the operation in a child that dies at a moment; False when it ended before."""
    child = os.fork()
    if child == 0:
        operation(Site(home, BreakingDisk(moment, kill_myself)))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def leftovers(home: Path) -> list[str]:
    found = [*home.glob("*.new"), *home.glob(".*.tmp"), *(home / "store" / "partial").iterdir()]
    return sorted(path.name for path in found)


def run(folder: Path, operation: Callable[[Site], None], twice_every: int) -> dict[str, int]:
    """Kill at every moment; at every `twice_every`-th one, kill the repetition everywhere too."""
    (folder / "template").mkdir(0o700)
    build(Site(folder / "template", Disk()))
    before = state(Site(folder / "template", Disk()))
    done = fresh(folder, "done")
    operation(Site(done, Disk()))
    after = state(Site(done, Disk()))
    moment = kills = 0
    while True:
        moment += 1
        if not killed(fresh(folder, "once"), operation, moment):
            return {"moments": moment - 1, "kills": kills}
        kills += 1
        survives(folder / "once", operation, (before, after))
        if moment % twice_every == 0:
            kills += kill_again(folder, operation, moment, (before, after))


def kill_again(
    folder: Path,
    operation: Callable[[Site], None],
    first: int,
    allowed: tuple[dict[str, str], dict[str, str]],
) -> int:
    second = 0
    while True:
        second += 1
        home = fresh(folder, "twice")
        killed(home, operation, first)
        if not killed(home, operation, second):
            return second - 1
        survives(home, operation, allowed)


def survives(
    home: Path,
    operation: Callable[[Site], None],
    allowed: tuple[dict[str, str], dict[str, str]],
) -> None:
    site = Site(home, Disk())
    assert state(site) in allowed
    operation(site)
    assert state(site) == allowed[1]
    assert leftovers(home) == []
    assert len(site.keyring().key_ids(PURPOSE)) == 1


def fresh(folder: Path, name: str) -> Path:
    home = folder / name
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(folder / "template", home)
    return home


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), OPERATIONS[sys.argv[2]], int(sys.argv[3]))))  # noqa: T201


# --- the tests


def run_apart(folder: str, operation: str, twice_every: int) -> dict[str, int]:
    ended = subprocess.run(  # noqa: S603 (this very file)
        [sys.executable, __file__, folder, operation, str(twice_every)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert ended.returncode == 0, ended.stderr
    counts: dict[str, int] = json.loads(ended.stdout)
    return counts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "least", "twice_every"),
    [
        ("rekey", 28, 3),
        ("rekey_data", 60, 24),
        ("stage", 10, 1),
        ("promote", 10, 1),
        ("discard", 10, 1),
        ("delete", 4, 1),
    ],
)
def test_every_value_reads_after_a_kill_at_every_moment(
    operation: str, least: int, twice_every: int
) -> None:
    # kill -9 spares what the kernel has, so memory does for a disk, without its waits for fsync.
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        counts = run_apart(folder, operation, twice_every)
    assert counts["moments"] >= least
    assert counts["kills"] > counts["moments"]
