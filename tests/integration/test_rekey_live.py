"""Keys are changed while other processes read and write: nobody notices."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from threading import Event
from uuid import UUID, uuid4

from credmgr.backends.local import LocalBackend, LocalBackendFactory, LocalOptions
from credmgr.errors import Conflict, SecretNotFound
from credmgr.keyring import Keyring, create_master_key
from credmgr.model.clock import SystemClock
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.context import PluginContext

PURPOSE = "local:main"
ROUNDS = 120
CHANGES = 8
SHARED = Name("shared/count")


class NoReferences:
    def resolve(self, reference: str) -> Secret:
        raise AssertionError(reference)


def opened(home: Path) -> tuple[Keyring, LocalBackend]:
    keys = Keyring.open(home / "keyring.json", home / "master.key")
    context = PluginContext(
        "main", home, SystemClock(), keys, NoReferences(), deadline=timedelta(seconds=60)
    )
    return keys, LocalBackendFactory().open(LocalOptions("store"), context)


def work(home: Path, worker: str) -> None:
    """Rotate a name of our own again and again, with one session opened at the start."""
    keys, backend = opened(home)
    audit = keys.current("audit")
    for number in range(ROUNDS):
        name = Name(f"{worker}/{number % 4}")
        held = backend.versions(name)
        current = next((old.version for old in held if old.stage is Stage.CURRENT), None)
        version = uuid4()
        backend.stage(name, Secret(f"{worker} {number}"), version)
        backend.promote(name, version, current)
        assert backend.read(name).secret.reveal() == f"{worker} {number}"
        for old in held:
            backend.discard(name, old.version)
        assert keys.current("audit") == audit


def race(home: Path, worker: str) -> None:
    """Try to be the first to promote, once the starting file is there."""
    _, backend = opened(home)
    version = UUID(int=int(worker))
    (home / f"ready-{worker}").touch()
    while not (home / "go").exists():
        Event().wait(0.001)
    backend.stage(SHARED, Secret(f"value {worker}"), version)
    try:
        backend.promote(SHARED, version, None)
    except (Conflict, SecretNotFound):
        return
    print("won")  # noqa: T201


if __name__ == "__main__":
    {"work": work, "race": race}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])


def start(home: Path, job: str, worker: str) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(  # noqa: S603 (this very file)
        [sys.executable, __file__, job, str(home), worker],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    )


def test_others_read_and_write_while_both_kinds_of_keys_change(tmp_path: Path) -> None:
    create_master_key(tmp_path / "master.key")
    Keyring.create(tmp_path / "keyring.json", tmp_path / "master.key")
    keys, backend = opened(tmp_path)
    workers = [start(tmp_path, "work", f"worker-{number}") for number in range(2)]
    changes = 0
    while changes < CHANGES or any(worker.poll() is None for worker in workers):
        keys.rekey()
        keys.rekey_data({PURPOSE: backend.reseal})
        changes += 1
    errors = [worker.communicate()[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], errors
    for worker in range(2):
        for last in range(ROUNDS - 4, ROUNDS):
            held = backend.read(Name(f"worker-{worker}/{last % 4}"))
            assert held.secret.reveal() == f"worker-{worker} {last}"
    assert len(keys.key_ids(PURPOSE)) == 1


def test_of_many_processes_exactly_one_wins_a_promotion(tmp_path: Path) -> None:
    create_master_key(tmp_path / "master.key")
    Keyring.create(tmp_path / "keyring.json", tmp_path / "master.key")
    _, backend = opened(tmp_path)
    workers = [start(tmp_path, "race", str(number)) for number in range(8)]
    while len(list(tmp_path.glob("ready-*"))) < len(workers):
        assert all(worker.poll() is None for worker in workers)
        Event().wait(0.01)
    (tmp_path / "go").touch()
    said = [worker.communicate() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * len(workers), said
    winners = [number for number, (out, _) in enumerate(said) if out == "won\n"]
    assert [backend.read(SHARED).version] == [UUID(int=number) for number in winners]
