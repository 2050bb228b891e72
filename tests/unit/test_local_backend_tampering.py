"""Whoever can write in the folder but has no key: what they can do, and what is noticed."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from credmgr.backends.local import LocalBackend, LocalBackendFactory, LocalOptions
from credmgr.errors import (
    AccessDenied,
    BackendUnavailable,
    CorruptSecret,
    CredmgrError,
    LimitExceeded,
    NotOurs,
    SecretNotFound,
)
from credmgr.keyring import Disk, Keyring
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.context import PluginContext
from credmgr.testing import FakeClock
from credmgr.testing.disks import BreakingDisk, fail_with

MASTER = bytes(range(32))
ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))
NAME = Name("name")
OTHER = Name("other")


class NoReferences:
    def resolve(self, reference: str) -> Secret:
        raise AssertionError(reference)


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    return Keyring.create(tmp_path / "keyring.json", MASTER)


def opened(
    home: Path, keys: Keyring, name: str = "main", path: str = "store", disk: Disk | None = None
) -> LocalBackend:
    context = PluginContext(name, home, FakeClock(), keys, NoReferences())
    return LocalBackendFactory(disk).open(LocalOptions(path), context)


@pytest.fixture
def backend(tmp_path: Path, keys: Keyring) -> LocalBackend:
    backend = opened(tmp_path, keys)
    for name in (NAME, OTHER):
        backend.stage(name, Secret(f"{name} one"), ONE)
        backend.promote(name, ONE, None)
        backend.stage(name, Secret(f"{name} two"), TWO)
    return backend


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store" / "sealed" / "name"


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
def test_no_changed_byte_ever_gives_a_wrong_value(
    backend: LocalBackend, keys: Keyring, file: Path, tmp_path: Path, flip: int
) -> None:
    content = file.read_bytes()
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
        for reader in (backend, opened(tmp_path, keys)):
            with pytest.raises((CorruptSecret, NotOurs)):
                reader.read(NAME)
            with pytest.raises((CorruptSecret, NotOurs)):
                reader.promote(NAME, TWO, ONE)
    file.write_bytes(content)
    assert backend.read(NAME).secret.reveal() == "name one"


def test_a_file_cut_short_or_prolonged_anywhere_is_corrupt(
    backend: LocalBackend, file: Path
) -> None:
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises((CorruptSecret, NotOurs)):
            backend.read(NAME)
    for more in (b"\n", b" ", b"{}", b"\0"):
        file.write_bytes(content + more)
        with pytest.raises(CorruptSecret):
            backend.read(NAME)


def test_a_file_moved_to_another_name_says_where_it_belongs(
    backend: LocalBackend, file: Path
) -> None:
    shutil.copy2(file.with_name("other"), file)
    with pytest.raises(CorruptSecret, match="is the one of other"):
        backend.read(NAME)


@pytest.mark.usefixtures("backend")
def test_a_file_moved_to_another_backend_does_not_open(keys: Keyring, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "store", tmp_path / "second")
    second = opened(tmp_path, keys, name="second", path="second")
    with pytest.raises(CorruptSecret, match="no key"):
        second.read(NAME)


@pytest.mark.usefixtures("backend")
def test_a_file_signed_for_another_backend_is_refused_even_under_the_same_key(
    keys: Keyring, tmp_path: Path
) -> None:
    class OneKey:
        def current(self, purpose: str) -> tuple[str, bytes]:  # noqa: ARG002 (protocol)
            return keys.current("local:main")

        def by_id(self, purpose: str, key_id: str) -> bytes:  # noqa: ARG002 (protocol)
            return keys.by_id("local:main", key_id)

    context = PluginContext("second", tmp_path, FakeClock(), OneKey(), NoReferences())
    second = LocalBackendFactory().open(LocalOptions("store"), context)
    with pytest.raises(CorruptSecret, match="in local:main, moved here"):
        second.read(NAME)


def test_a_value_sealed_for_another_version_does_not_open(backend: LocalBackend) -> None:
    book = backend._load(NAME)
    assert book is not None
    one, two = book.entries
    swapped = type(one)(one.version, one.stage, one.written_at, two.key_id, two.sealed)
    with pytest.raises(CorruptSecret, match="does not open"):
        backend._sealer.open(NAME, swapped)
    with pytest.raises(CorruptSecret, match="does not open"):
        backend._sealer.open(OTHER, one)
    for length in range(len(one.sealed)):
        cut = type(one)(one.version, one.stage, one.written_at, one.key_id, one.sealed[:length])
        with pytest.raises(CorruptSecret, match="does not open"):
            backend._sealer.open(NAME, cut)


def test_another_installations_keyring_opens_nothing(backend: LocalBackend, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir(0o700)
    other = Keyring.create(tmp_path / "else" / "keyring.json", MASTER)
    other.current("local:main")
    stranger = opened(tmp_path, other)
    for call in (
        lambda: stranger.read(NAME),
        lambda: stranger.versions(NAME),
        lambda: stranger.stage(NAME, Secret("value"), THREE),
        lambda: stranger.promote(NAME, TWO, ONE),
        lambda: stranger.discard(NAME, TWO),
    ):
        with pytest.raises(CorruptSecret, match="another key"):
            call()
    assert backend.read(NAME).secret.reveal() == "name one"


def test_an_older_file_put_back_is_noticed_by_a_session_that_saw_the_newer(
    backend: LocalBackend, keys: Keyring, file: Path, tmp_path: Path
) -> None:
    before = file.read_bytes()
    backend.promote(NAME, TWO, ONE)
    file.write_bytes(before)
    with pytest.raises(CorruptSecret, match="older than one already read"):
        backend.read(NAME)
    with pytest.raises(CorruptSecret, match="older than one already read"):
        backend.promote(NAME, TWO, ONE)
    # What is not noticed, and documented so: a session that never saw the newer one.
    assert opened(tmp_path, keys).read(NAME).secret.reveal() == "name one"


def test_a_name_used_anew_elsewhere_is_not_mistaken_for_an_older_file(
    backend: LocalBackend, keys: Keyring, tmp_path: Path
) -> None:
    elsewhere = opened(tmp_path, keys)
    elsewhere.delete(NAME)
    elsewhere.stage(NAME, Secret("anew"), THREE)
    assert backend.read(NAME, Stage.NEXT).secret.reveal() == "anew"


def test_a_damaged_file_can_be_deleted_and_written_anew(backend: LocalBackend, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])
    backend.delete(NAME)
    backend.stage(NAME, Secret("anew"), THREE)
    assert backend.read(NAME, Stage.NEXT).secret.reveal() == "anew"


# --- a disk that fails at every moment

CHANGES: dict[str, Callable[[LocalBackend], None]] = {
    "stage": lambda backend: backend.stage(NAME, Secret("three"), THREE),
    "promote": lambda backend: backend.promote(NAME, TWO, ONE),
    "discard": lambda backend: backend.discard(NAME, TWO),
    "delete": lambda backend: backend.delete(NAME),
    "check": lambda backend: backend.check(),
    "reseal": lambda backend: backend.reseal(),
}


def look(backend: LocalBackend) -> dict[Stage, str]:
    found: dict[Stage, str] = {}
    for stage in Stage:
        try:
            found[stage] = backend.read(NAME, stage).secret.reveal()
        except SecretNotFound:
            continue
    return found


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOSPC, BackendUnavailable),
        (errno.EIO, BackendUnavailable),
        (errno.EACCES, AccessDenied),
        (errno.EROFS, AccessDenied),
        (errno.ENAMETOOLONG, LimitExceeded),
    ],
)
def test_a_failing_disk_leaves_the_old_state_or_the_new(
    backend: LocalBackend,
    keys: Keyring,
    tmp_path: Path,
    change: Callable[[LocalBackend], None],
    code: int,
    expected: type[CredmgrError],
) -> None:
    before = look(backend)
    keys._begin_renewal("local:main")  # so that reseal has something to do
    shutil.copytree(tmp_path / "store", tmp_path / "done")
    done = opened(tmp_path, keys, path="done")
    change(done)
    after, moment = look(done), 0
    while True:
        moment += 1
        shutil.copytree(tmp_path / "store", tmp_path / str(moment))
        broken = opened(tmp_path, keys, path=str(moment))
        broken._folder._disk = BreakingDisk(moment, fail_with(code))
        if not fails(broken, change, expected):
            break
        assert look(broken) in (before, after)
        assert list((tmp_path / str(moment) / "partial").iterdir()) == []
        broken._folder._disk = Disk()
        change(broken)
        assert look(broken) == after
    assert moment > 1


def fails(
    backend: LocalBackend, change: Callable[[LocalBackend], None], expected: type[CredmgrError]
) -> bool:
    try:
        change(backend)
    except expected:
        return True
    return False


def test_a_store_that_cannot_be_made_says_why(tmp_path: Path, keys: Keyring) -> None:
    for moment in range(1, 5):
        home = tmp_path / str(moment)
        home.mkdir(0o700)
        with pytest.raises(AccessDenied, match="Permission denied"):
            opened(home, keys, disk=BreakingDisk(moment, fail_with(errno.EACCES)))
