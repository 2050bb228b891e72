"""The local store and its keys: the probe, a keyring that fails, everything sealed anew."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from uuid import UUID, uuid4

import pytest

from credmgr.backends.local import LocalBackend, LocalBackendFactory, LocalOptions
from credmgr.errors import (
    BackendUnavailable,
    CorruptSecret,
    SecretNotFound,
)
from credmgr.keyring import Keyring
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


def test_a_check_makes_a_probe_and_finds_a_wrong_keyring(
    context: PluginContext, backend: LocalBackend, tmp_path: Path
) -> None:
    backend.check()
    (tmp_path / "keyring.json").unlink()
    other = Keyring.create(tmp_path / "keyring.json", MASTER)
    wrong = opened(PluginContext("main", tmp_path, context.clock, other, context.references))
    with pytest.raises(CorruptSecret, match="no key"):
        wrong.check()


def test_a_keyring_that_cannot_be_written_is_unavailable(
    backend: LocalBackend, tmp_path: Path
) -> None:
    put(backend, NAME, "value")
    (tmp_path / "keyring.json").unlink()
    with pytest.raises(BackendUnavailable, match="nothing can be sealed"):
        put(backend, NAME, "other")
    assert backend.read(NAME).secret.reveal() == "value"


def test_reseal_leaves_nothing_under_the_old_key(
    keys: Keyring, backend: LocalBackend, store: Path
) -> None:
    names = [NAME, Name("a"), Name("a/b")]
    for name in names:
        put(backend, name, f"old {name}")
        put(backend, name, f"new {name}")
    backend.check()
    old, _ = keys.current("local:main")
    keys.rekey_data({"local:main": backend.reseal})
    content = b"".join(path.read_bytes() for path in (store / "sealed").iterdir())
    assert old.encode() not in content
    for name in names:
        assert backend.read(name).secret.reveal() == f"new {name}"
        assert backend.read(name, Stage.PREVIOUS).secret.reveal() == f"old {name}"
    backend.check()


def test_reseal_passes_over_what_is_not_ours_and_what_is_done(
    keys: Keyring, backend: LocalBackend, store: Path
) -> None:
    put(backend, NAME, "value")
    file_of(store, "notes").write_text("somebody else's")
    file_of(store, "notes").chmod(0o600)
    file_of(store, "Not.A.Name").write_text("somebody else's")
    keys.rekey_data({"local:main": backend.reseal})
    before = file_of(store, NAME).read_bytes()
    backend.reseal()
    assert file_of(store, NAME).read_bytes() == before
    assert file_of(store, "notes").read_text() == "somebody else's"


def test_reseal_stops_at_what_does_not_open_and_keeps_the_old_key(
    keys: Keyring, backend: LocalBackend, store: Path
) -> None:
    put(backend, NAME, "value")
    put(backend, Name("z"), "value")
    content = file_of(store, NAME).read_bytes()
    other = b"x" if content[-20:-19] != b"x" else b"y"
    file_of(store, NAME).write_bytes(content[:-20] + other + content[-19:])
    with pytest.raises(CorruptSecret):
        keys.rekey_data({"local:main": backend.reseal})
    assert len(keys.key_ids("local:main")) == 2
    backend.delete(NAME)
    keys.rekey_data({"local:main": backend.reseal})
    assert len(keys.key_ids("local:main")) == 1
    assert backend.read(Name("z")).secret.reveal() == "value"


def test_a_name_deleted_under_reseal_is_no_error(backend: LocalBackend) -> None:
    backend._reseal(NAME)
    with pytest.raises(SecretNotFound):
        backend.read(NAME)


def test_a_read_that_a_reseal_overtakes_reads_again(
    keys: Keyring, context: PluginContext, backend: LocalBackend
) -> None:
    put(backend, NAME, "value")
    reader = opened(
        PluginContext("main", context.home, context.clock, Overtaken(keys, backend), NoReferences())
    )
    assert reader.read(NAME).secret.reveal() == "value"


class Overtaken:
    """Keys in front of which a whole renewal happens once, after a file was read."""

    def __init__(self, keys: Keyring, backend: LocalBackend) -> None:
        self._keys = keys
        self._backend: LocalBackend | None = backend

    def current(self, purpose: str) -> tuple[str, bytes]:
        return self._keys.current(purpose)

    def by_id(self, purpose: str, key_id: str) -> bytes:
        if self._backend:
            backend, self._backend = self._backend, None
            self._keys.rekey_data({purpose: backend.reseal})
        return self._keys.by_id(purpose, key_id)


def test_reseal_waits_for_a_writer_that_took_the_old_key_for_a_new_name(
    keys: Keyring, context: PluginContext
) -> None:
    context = replace(context, deadline=timedelta(seconds=30))
    keys.current("local:main")
    slow, backend = Paused(keys), opened(context)
    writer = opened(replace(context, keys=slow))
    with ThreadPoolExecutor(2) as pool:
        written = pool.submit(writer.stage, NAME, Secret("value"), UUID(int=1))
        assert slow.reached.wait(10)
        renewed = pool.submit(keys.rekey_data, {"local:main": backend.reseal})
        with pytest.raises(TimeoutError):
            renewed.result(0.1)
        slow.go_on.set()
        written.result(10)
        renewed.result(10)
    assert len(keys.key_ids("local:main")) == 1
    assert opened(context).read(NAME, Stage.NEXT).secret.reveal() == "value"


class Paused:
    """Keys that give the key to seal with only when they are told to go on."""

    def __init__(self, keys: Keyring) -> None:
        self.reached, self.go_on = Event(), Event()
        self._keys = keys

    def current(self, purpose: str) -> tuple[str, bytes]:
        found = self._keys.current(purpose)
        self.reached.set()
        self.go_on.wait(10)
        return found

    def by_id(self, purpose: str, key_id: str) -> bytes:
        return self._keys.by_id(purpose, key_id)
