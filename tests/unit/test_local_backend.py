"""The local store beyond the contract: modes, links, limits, locks, leftovers."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event
from uuid import UUID, uuid4

import pytest

from credmgr.backends.local import LocalBackend, LocalBackendFactory, LocalOptions
from credmgr.errors import (
    AccessDenied,
    BackendUnavailable,
    NotOurs,
)
from credmgr.keyring import Keyring
from credmgr.keyring.disk import locked
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.context import PluginContext
from credmgr.testing import FakeClock

MASTER = bytes(range(32))
NAME = Name("caseforge/api-key")


class NoReferences:
    def resolve(self, reference: str) -> Secret:
        raise AssertionError(reference)


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    return Keyring.create(tmp_path / "keyring.json", MASTER)


@pytest.fixture
def context(tmp_path: Path, keys: Keyring) -> PluginContext:
    return PluginContext(
        "main", tmp_path, FakeClock(), keys, NoReferences(), deadline=timedelta(seconds=0.2)
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def backend(context: PluginContext) -> LocalBackend:
    return opened(context)


def opened(context: PluginContext) -> LocalBackend:
    return LocalBackendFactory().open(LocalOptions("store"), context)


def put(backend: LocalBackend, name: Name, value: str) -> UUID:
    version = uuid4()
    backend.stage(name, Secret(value), version)
    held = backend.versions(name)
    current = next((old.version for old in held if old.stage is Stage.CURRENT), None)
    backend.promote(name, version, current)
    return version


def file_of(store: Path, name: str) -> Path:
    return store / "sealed" / name.replace("/", "+")


# --- on disk


def test_folders_are_0700_and_files_0600_whatever_the_umask(
    context: PluginContext, store: Path
) -> None:
    before = os.umask(0)
    try:
        backend = opened(context)
        put(backend, NAME, "value")
        backend.check()
    finally:
        os.umask(before)
    for path in (store, *store.rglob("*")):
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_a_missing_folder_is_made_with_those_above_it(context: PluginContext) -> None:
    backend = LocalBackendFactory().open(LocalOptions("deep/down/store"), context)
    put(backend, NAME, "value")
    assert stat.S_IMODE((context.home / "deep").stat().st_mode) == 0o700


def test_the_value_is_nowhere_in_the_folder(backend: LocalBackend, store: Path) -> None:
    put(backend, NAME, "canary-value")
    content = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    assert b"canary" not in content
    assert b"Y2FuYXJ5" not in content  # the same in base64


def test_nothing_is_left_between_writes(backend: LocalBackend, store: Path) -> None:
    version = put(backend, NAME, "value")
    put(backend, NAME, "other")
    backend.discard(NAME, version)
    assert list((store / "partial").iterdir()) == []


def test_the_last_version_takes_the_file_with_it(backend: LocalBackend, store: Path) -> None:
    version = uuid4()
    backend.stage(NAME, Secret("value"), version)
    backend.discard(NAME, version)
    assert list((store / "sealed").iterdir()) == []


@pytest.mark.parametrize("path", ["", "  ", "a\0b"])
def test_a_path_that_is_none_is_a_mistake(path: str) -> None:
    assert [mistake.option for mistake in LocalBackendFactory().validate(LocalOptions(path))] == [
        "path"
    ]
    assert list(LocalBackendFactory().validate(LocalOptions("store"))) == []


# --- refused


@pytest.mark.parametrize("bits", [0o750, 0o705, 0o770, 0o702])
def test_a_folder_open_to_others_is_refused(
    context: PluginContext, backend: LocalBackend, store: Path, bits: int
) -> None:
    put(backend, NAME, "value")
    store.chmod(bits)
    with pytest.raises(AccessDenied, match="open to other users"):
        opened(context)
    with pytest.raises(AccessDenied, match="open to other users"):
        backend.check()
    with pytest.raises(AccessDenied, match="open to other users"):
        put(backend, NAME, "other")


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602])
def test_a_file_open_to_others_is_refused(backend: LocalBackend, store: Path, bits: int) -> None:
    put(backend, NAME, "value")
    file_of(store, NAME).chmod(bits)
    with pytest.raises(AccessDenied, match="open to other users"):
        backend.read(NAME)
    with pytest.raises(AccessDenied, match="open to other users"):
        put(backend, NAME, "other")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_belongs_to_another_user_is_refused(
    context: PluginContext, backend: LocalBackend, store: Path
) -> None:
    put(backend, NAME, "value")
    os.chown(file_of(store, NAME), 12345, -1)
    with pytest.raises(AccessDenied, match="belongs to another user"):
        backend.read(NAME)
    os.chown(store, 12345, -1)
    with pytest.raises(AccessDenied, match="belongs to another user"):
        opened(context)


def test_a_link_in_the_place_of_a_file_is_left_alone(
    backend: LocalBackend, store: Path, tmp_path: Path
) -> None:
    put(backend, NAME, "value")
    file_of(store, NAME).rename(tmp_path / "elsewhere")
    file_of(store, NAME).symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").read_bytes()
    with pytest.raises(NotOurs, match="symbolic link"):
        backend.read(NAME)
    with pytest.raises(NotOurs, match="symbolic link"):
        put(backend, NAME, "other")
    with pytest.raises(NotOurs, match="symbolic link"):
        backend.delete(NAME)
    assert (tmp_path / "elsewhere").read_bytes() == before


def test_a_link_or_file_in_the_place_of_the_folder_is_refused(
    context: PluginContext, store: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir(0o700)
    store.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotOurs, match="not a folder"):
        opened(context)
    store.unlink()
    store.write_bytes(b"")
    with pytest.raises(NotOurs, match="not a folder"):
        opened(context)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_not_a_plain_file_is_left_alone(
    backend: LocalBackend, store: Path, make: object
) -> None:
    assert callable(make)
    make(file_of(store, NAME))
    with pytest.raises(NotOurs, match="not a plain file"):
        backend.read(NAME)
    with pytest.raises(NotOurs, match="not a plain file"):
        backend.delete(NAME)


def test_a_store_that_is_gone_proves_no_absence(backend: LocalBackend, store: Path) -> None:
    put(backend, NAME, "value")
    store.rename(store.with_name("unmounted"))
    with pytest.raises(BackendUnavailable, match="No such file"):
        backend.read(NAME)
    with pytest.raises(BackendUnavailable, match="No such file"):
        put(backend, NAME, "other")


# --- locks and leftovers


def test_a_lock_held_too_long_elsewhere_is_unavailable_and_reads_go_on(
    backend: LocalBackend, store: Path
) -> None:
    put(backend, NAME, "value")
    (lock,) = (store / "locks").iterdir()
    with locked(lock, timedelta()):
        with pytest.raises(BackendUnavailable, match="held by another process"):
            put(backend, NAME, "other")
        assert backend.read(NAME).secret.reveal() == "value"


def test_a_thread_that_takes_too_long_makes_the_others_give_up(backend: LocalBackend) -> None:
    busy, done = Event(), Event()

    def hold() -> None:
        with backend._folder.exclusive(NAME):
            busy.set()
            done.wait(10)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        busy.wait(10)
        with pytest.raises(BackendUnavailable, match="another thread"):
            backend.stage(NAME, Secret("value"), uuid4())
        done.set()
        held.result()


@pytest.mark.usefixtures("backend")
def test_what_a_crash_left_is_cleared_when_a_session_opens(
    context: PluginContext, store: Path
) -> None:
    leftover = store / "partial" / "00"
    leftover.write_bytes(b"half")
    with locked(store / "locks" / "00", timedelta()):
        opened(context)  # somebody may still be writing it
        assert leftover.exists()
    opened(context)
    assert not leftover.exists()


def test_what_a_crash_left_does_not_stand_in_the_way(backend: LocalBackend, store: Path) -> None:
    for number in range(64):
        (store / "partial" / f"{number:02x}").write_bytes(b"half")
    put(backend, NAME, "value")
    assert backend.read(NAME).secret.reveal() == "value"


def test_times_come_from_the_clock(context: PluginContext, backend: LocalBackend) -> None:
    put(backend, NAME, "value")
    assert [held.written_at for held in backend.versions(NAME)] == [context.clock.now()]
