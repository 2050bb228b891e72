"""New master keys and new data keys."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from credmgr.errors import KeyringError, MasterKeyMissing, MasterKeyWrong
from credmgr.keyring import Disk, Keyring, MasterKey, create_master_key
from credmgr.keyring.master import MasterSource
from credmgr.model.secret import Secret
from credmgr.testing.disks import BreakingDisk, fail_with

MASTER = bytes(range(32))
OTHER = bytes(32)
PURPOSE = "local:main"


@pytest.fixture
def master(tmp_path: Path) -> Path:
    create_master_key(tmp_path / "master.key")
    return tmp_path / "master.key"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keyring.json"


def test_rekey_replaces_the_master_key_and_no_data_key(path: Path, master: Path) -> None:
    keys = Keyring.create(path, master)
    audit, old = keys.current("audit"), master.read_text()
    keys.rekey()
    assert keys.current("audit") == audit
    assert Keyring.open(path, master).current("audit") == audit
    assert Keyring.open(path, master).master_key_id == keys.master_key_id
    with pytest.raises(MasterKeyWrong):
        Keyring.open(path, Secret(old))
    assert not master.with_name("master.key.new").exists()


def test_a_keyring_opened_before_goes_on_after_a_rekey_elsewhere(path: Path, master: Path) -> None:
    keys = Keyring.create(path, master)
    audit = keys.current("audit")
    Keyring.open(path, master).rekey()
    assert keys.current("audit") == audit
    keys.current("made after the rekey")
    keys.rekey()
    assert Keyring.open(path, master).current("audit") == audit


def test_a_master_key_given_as_value_needs_a_successor(path: Path) -> None:
    keys = Keyring.create(path, MASTER)
    before = path.read_bytes()
    with pytest.raises(KeyringError, match="not in a file"):
        keys.rekey()
    assert path.read_bytes() == before


@pytest.mark.parametrize("to", [OTHER, Secret(MasterKey(OTHER).text())])
def test_rekey_to_another_value_only_wraps_anew(path: Path, to: bytes | Secret) -> None:
    keys = Keyring.create(path, MASTER)
    audit = keys.current("audit")
    keys.rekey(to)
    assert keys.current("audit") == audit
    assert Keyring.open(path, OTHER).current("audit") == audit
    with pytest.raises(MasterKeyWrong):
        Keyring.open(path, MASTER)


def test_a_holder_of_the_old_value_reads_on_and_cannot_seal(path: Path) -> None:
    keys = Keyring.create(path, MASTER)
    key_id, value = keys.current(PURPOSE)
    Keyring.open(path, MASTER).rekey(OTHER)
    assert keys.by_id(PURPOSE, key_id) == value
    with pytest.raises(MasterKeyWrong):
        keys.current(PURPOSE)


def test_a_master_key_moves_from_a_value_into_a_file(path: Path, master: Path) -> None:
    keys = Keyring.create(path, MASTER)
    audit = keys.current("audit")
    keys.rekey(master)
    keys.rekey()
    assert Keyring.open(path, master).current("audit") == audit


def test_a_successor_that_is_missing_changes_nothing(path: Path, tmp_path: Path) -> None:
    keys = Keyring.create(path, MASTER)
    before = path.read_bytes()
    with pytest.raises(MasterKeyMissing):
        keys.rekey(tmp_path / "missing.key")
    assert path.read_bytes() == before


def test_an_interrupted_rekey_is_finished_by_the_next_open(path: Path, master: Path) -> None:
    audit = Keyring.create(path, master).current("audit")
    old = master.read_bytes()
    Keyring.open(path, master).rekey()
    master.rename(master.with_name("master.key.new"))
    with pytest.raises(MasterKeyMissing):
        Keyring.open(path, master.with_name("another.key"))
    master.write_bytes(old)
    master.chmod(0o600)
    assert Keyring.open(path, master).current("audit") == audit
    assert master.read_bytes() != old
    assert not master.with_name("master.key.new").exists()


def test_a_successor_that_never_came_into_use_is_ignored(path: Path, master: Path) -> None:
    keys = Keyring.create(path, master)
    audit = keys.current("audit")
    create_master_key(master.with_name("master.key.new"))
    assert Keyring.open(path, master).current("audit") == audit
    master.with_name("master.key.new").write_text("garbage")
    keys = Keyring.open(path, master)
    keys.rekey()
    assert Keyring.open(path, master).current("audit") == audit


def test_a_rekey_that_ends_between_two_reads_is_not_mistaken_for_a_wrong_key(
    path: Path, master: Path
) -> None:
    Keyring.create(path, master)
    keys = Keyring.open(path, master)
    keys._source = RekeyedMeanwhile(keys._source, Keyring.open(path, master))
    keys.rekey_data({})
    Keyring.open(path, master).current("something that changes the file")
    assert keys.current("audit") == Keyring.open(path, master).current("audit")


class RekeyedMeanwhile:
    """A master key's source in front of which somebody else rekeys once, just before a look."""

    def __init__(self, source: MasterSource, other: Keyring) -> None:
        self._source = source
        self._other: Keyring | None = other

    def read(self) -> MasterKey:
        return self._source.read()

    def find(self, wanted: str) -> tuple[MasterKey, bool]:
        if self._other:
            self._other.rekey()
            self._other = None
        return self._source.find(wanted)

    def settle(self, disk: Disk) -> None:
        self._source.settle(disk)


# --- data keys


def test_a_new_data_key_seals_and_the_old_one_goes_when_nothing_needs_it(
    path: Path, master: Path
) -> None:
    keys = Keyring.create(path, master)
    old, _ = keys.current(PURPOSE)
    seen: list[tuple[str, bool]] = []

    def seal_anew() -> None:
        new, _ = keys.current(PURPOSE)
        seen.append((new, keys.by_id(PURPOSE, old) is not None))

    keys.rekey_data({PURPOSE: seal_anew})
    assert seen == [(keys.current(PURPOSE)[0], True)]
    assert keys.key_ids(PURPOSE) == [seen[0][0]]
    with pytest.raises(KeyringError, match="no key"):
        Keyring.open(path, master).by_id(PURPOSE, old)


def test_old_data_keys_stay_when_sealing_anew_fails_and_the_next_attempt_goes_on(
    path: Path, master: Path
) -> None:
    keys = Keyring.create(path, master)
    old, _ = keys.current(PURPOSE)

    def fail() -> None:
        raise KeyringError("disk full")

    for _ in range(2):
        with pytest.raises(KeyringError, match="disk full"):
            keys.rekey_data({PURPOSE: fail})
        assert len(keys.key_ids(PURPOSE)) == 2
    new, _ = keys.current(PURPOSE)
    keys.rekey_data({PURPOSE: lambda: None})
    assert keys.key_ids(PURPOSE) == [new]
    assert new != old


def test_a_purpose_without_keys_is_skipped(path: Path, master: Path) -> None:
    keys = Keyring.create(path, master)
    called: list[str] = []
    keys.rekey_data({"local:unused": lambda: called.append("sealed")})
    assert called == []
    assert keys.key_ids("local:unused") == []


@pytest.mark.parametrize("purpose", ["audit", "fingerprint"])
def test_what_has_to_verify_for_ever_keeps_its_key(path: Path, master: Path, purpose: str) -> None:
    keys = Keyring.create(path, master)
    before = keys.current(purpose)
    with pytest.raises(KeyringError, match="never renewed"):
        keys.rekey_data({PURPOSE: lambda: None, purpose: lambda: None})
    assert keys.current(purpose) == before


def test_a_second_renewal_drops_only_what_it_found_old(path: Path, master: Path) -> None:
    keys = Keyring.create(path, master)
    first, _ = keys.current(PURPOSE)
    other = Keyring.open(path, master)

    def renewed_meanwhile() -> None:
        other.rekey_data({PURPOSE: lambda: None})  # goes on with this renewal, and ends it
        other.rekey_data({PURPOSE: lambda: None})  # begins and ends one of its own

    keys.rekey_data({PURPOSE: renewed_meanwhile})
    assert len(keys.key_ids(PURPOSE)) == 1
    assert first not in keys.key_ids(PURPOSE)


# --- a disk that fails at every moment


OPERATIONS: dict[str, Callable[[Keyring], object]] = {
    "a new purpose": lambda keys: keys.current("new"),
    "rekey": lambda keys: keys.rekey(),
    "rekey to a value": lambda keys: keys.rekey(OTHER),
    "rekey data": lambda keys: keys.rekey_data({PURPOSE: lambda: None}),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_failing_disk_is_a_typed_error_and_the_keyring_still_opens(
    tmp_path: Path, operation: Callable[[Keyring], object], code: int
) -> None:
    moment, failed = 0, True
    while failed:
        moment += 1
        home = tmp_path / str(moment)
        home.mkdir(0o700)
        path, master = home / "keyring.json", home / "master.key"
        create_master_key(master)
        keys = Keyring.create(path, master)
        audit, sealing = keys.current("audit"), keys.current(PURPOSE)
        failed = breaks(
            Keyring.open(path, master, disk=BreakingDisk(moment, fail_with(code))), operation
        )
        opened = reopened(path, master)
        assert opened.current("audit") == audit
        if operation is not OPERATIONS["rekey data"]:
            assert opened.by_id(PURPOSE, sealing[0]) == sealing[1]
    assert moment > 10


def breaks(keys: Keyring, operation: Callable[[Keyring], object]) -> bool:
    try:
        operation(keys)
    except KeyringError:
        return True
    return False


def reopened(path: Path, master: Path) -> Keyring:
    try:
        return Keyring.open(path, master)
    except MasterKeyWrong:
        return Keyring.open(path, OTHER)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_master_key_that_cannot_be_written_leaves_nothing(tmp_path: Path, code: int) -> None:
    for moment in range(1, 8):
        path = tmp_path / str(moment) / "master.key"
        path.parent.mkdir(0o700)
        with pytest.raises(KeyringError):
            create_master_key(path, disk=BreakingDisk(moment, fail_with(code)))
        assert not path.exists()
