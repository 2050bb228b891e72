"""The keyring: made, opened, refused, damaged, rekeyed."""

import base64
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from credmgr.errors import KeyringError, MasterKeyMissing, MasterKeyWrong
from credmgr.keyring import Keyring, MasterKey, create_master_key
from credmgr.model.secret import Secret

MASTER = bytes(range(32))
OTHER = bytes(32)


@pytest.fixture
def master(tmp_path: Path) -> Path:
    path = tmp_path / "master.key"
    create_master_key(path)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keyring.json"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_master_key_file_is_private_and_recognisable(master: Path) -> None:
    assert mode(master) == 0o600
    prefix, _, text = master.read_text().rstrip("\n").partition(":")
    assert prefix == "credmgr-master-key-v1"
    assert len(base64.b64decode(text)) == 32


def test_an_existing_master_key_is_never_overwritten(master: Path) -> None:
    before = master.read_bytes()
    with pytest.raises(KeyringError, match="exists already"):
        create_master_key(master)
    assert master.read_bytes() == before


def test_a_link_that_leads_nowhere_is_not_followed_to_make_a_master_key(tmp_path: Path) -> None:
    (tmp_path / "master.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyringError, match="exists already"):
        create_master_key(tmp_path / "master.key")
    assert not (tmp_path / "elsewhere").exists()


def test_a_master_key_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="No such file"):
        create_master_key(tmp_path / "missing" / "master.key")


def test_the_umask_does_not_matter(tmp_path: Path, path: Path) -> None:
    before = os.umask(0)
    try:
        create_master_key(tmp_path / "master.key")
        Keyring.create(path, tmp_path / "master.key").current("audit")
    finally:
        os.umask(before)
    assert {mode(file) for file in tmp_path.iterdir()} == {0o600}


def test_a_data_key_is_made_on_first_use_and_stays(path: Path, master: Path) -> None:
    keys = Keyring.create(path, master)
    key_id, value = keys.current("audit")
    assert len(value) == 32
    again = Keyring.open(path, master)
    assert again.current("audit") == (key_id, value)
    assert again.by_id("audit", key_id) == value
    assert again.installation == keys.installation
    assert mode(path) == 0o600


def test_each_purpose_has_keys_of_its_own(path: Path, master: Path) -> None:
    keys = Keyring.create(path, master)
    audit, fingerprint = keys.current("audit"), keys.current("fingerprint")
    assert audit[0] != fingerprint[0]
    assert audit[1] != fingerprint[1]
    with pytest.raises(KeyringError, match="no key"):
        keys.by_id("fingerprint", audit[0])


def test_two_open_keyrings_agree_on_a_key_made_by_one(path: Path, master: Path) -> None:
    one, two = Keyring.create(path, master), Keyring.open(path, master)
    key_id, value = one.current("local:main")
    assert two.by_id("local:main", key_id) == value
    assert two.current("local:main") == (key_id, value)


def test_many_threads_with_keyrings_of_their_own_make_one_key(path: Path, master: Path) -> None:
    Keyring.create(path, master)
    with ThreadPoolExecutor(16) as pool:
        made = pool.map(lambda _: Keyring.open(path, master).current("audit"), range(16))
    assert len(set(made)) == 1


def test_the_master_key_may_be_given_as_text_or_bytes(path: Path, master: Path) -> None:
    audit = Keyring.create(path, master).current("audit")
    text = master.read_text()
    value = base64.b64decode(text.partition(":")[2])
    assert Keyring.open(path, Secret(text.strip())).current("audit") == audit
    assert Keyring.open(path, value).current("audit") == audit


def test_no_key_shows_in_the_file_or_in_a_repr(path: Path) -> None:
    keys = Keyring.create(path, MASTER)
    _, value = keys.current("audit")
    shown = path.read_text() + repr(keys) + repr(vars(keys))
    for key in (MASTER, value):
        for spelling in (key.hex(), base64.b64encode(key).decode(), repr(key)):
            assert spelling not in shown


def test_an_existing_keyring_is_never_overwritten(path: Path, master: Path) -> None:
    Keyring.create(path, master)
    before = path.read_bytes()
    with pytest.raises(KeyringError, match="exists already"):
        Keyring.create(path, master)
    assert path.read_bytes() == before


# --- refused, and nothing is written


@pytest.mark.parametrize("value", [OTHER, Secret(MasterKey(OTHER).text())])
def test_a_wrong_master_key_is_told_apart_from_damage(path: Path, value: bytes | Secret) -> None:
    Keyring.create(path, MASTER).current("audit")
    before = snapshot(path.parent)
    with pytest.raises(MasterKeyWrong):
        Keyring.open(path, value)
    assert snapshot(path.parent) == before


def test_a_wrong_master_key_file_is_refused_by_name(path: Path, master: Path) -> None:
    Keyring.create(path, MASTER)
    before = snapshot(path.parent)
    with pytest.raises(MasterKeyWrong, match=r"master\.key does not open"):
        Keyring.open(path, master)
    assert snapshot(path.parent) == before


def test_a_missing_master_key_is_refused(path: Path, master: Path) -> None:
    Keyring.create(path, master)
    master.unlink()
    before = snapshot(path.parent)
    with pytest.raises(MasterKeyMissing, match="there is no master key at"):
        Keyring.open(path, master)
    assert snapshot(path.parent) == before


def test_no_keyring_is_made_without_a_master_key(path: Path, tmp_path: Path) -> None:
    with pytest.raises(MasterKeyMissing):
        Keyring.create(path, tmp_path / "master.key")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_keyring_is_refused(path: Path, master: Path) -> None:
    before = snapshot(path.parent)
    with pytest.raises(KeyringError, match="there is no keyring at"):
        Keyring.open(path, master)
    assert snapshot(path.parent) == before


@pytest.mark.parametrize("text", ["", "x", "credmgr-master-key-v1:AAAA", "\ud800", "password"])
def test_what_is_not_a_master_key_is_refused_and_not_shown(text: str, path: Path) -> None:
    Keyring.create(path, MASTER)
    with pytest.raises(MasterKeyWrong, match="does not hold a master key") as caught:
        Keyring.open(path, Secret(text or " "))
    assert "AAAA" not in str(caught.value)


def test_a_master_key_of_another_length_is_refused(path: Path) -> None:
    with pytest.raises(MasterKeyWrong, match="32 bytes, this one 16"):
        Keyring.create(path, bytes(16))


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o602, 0o700 | 0o010])
@pytest.mark.parametrize("name", ["master.key", "keyring.json"])
def test_a_file_open_to_others_is_refused(path: Path, master: Path, name: str, bits: int) -> None:
    Keyring.create(path, master)
    (path.parent / name).chmod(bits)
    with pytest.raises(KeyringError, match="open to other users"):
        Keyring.open(path, master)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", ["master.key", "keyring.json"])
def test_a_file_of_another_user_is_refused(path: Path, master: Path, name: str) -> None:
    Keyring.create(path, master)
    os.chown(path.parent / name, 12345, -1)
    with pytest.raises(KeyringError, match="belongs to another user"):
        Keyring.open(path, master)


@pytest.mark.parametrize("name", ["master.key", "keyring.json"])
def test_a_symbolic_link_is_refused(path: Path, master: Path, name: str) -> None:
    Keyring.create(path, master)
    (path.parent / name).rename(path.parent / "real")
    (path.parent / name).symlink_to(path.parent / "real")
    with pytest.raises(KeyringError, match="symbolic link"):
        Keyring.open(path, master)


def test_a_folder_in_the_place_of_the_keyring_is_refused(path: Path, master: Path) -> None:
    path.mkdir()
    with pytest.raises(KeyringError, match="not a plain file"):
        Keyring.open(path, master)


def test_a_folder_that_others_can_write_is_refused(path: Path, master: Path) -> None:
    Keyring.create(path, master)
    path.parent.chmod(0o770)
    with pytest.raises(KeyringError, match="writable by other users"):
        Keyring.open(path, master)
    path.parent.chmod(0o1777)
    Keyring.open(path, master)


# --- damage


def test_no_changed_byte_ever_gives_a_wrong_key(path: Path) -> None:
    keys = Keyring.create(path, MASTER)
    expected = keys.current("audit"), keys.current("local:main")
    content = path.read_bytes()
    for place in range(len(content)):
        for flip in (0x01, 0x20, 0x80):
            path.write_bytes(changed(content, place, flip))
            try:
                opened = Keyring.open(path, MASTER)
            except KeyringError:
                continue
            assert (opened.current("audit"), opened.current("local:main")) == expected


def changed(content: bytes, place: int, flip: int) -> bytes:
    return content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :]


def test_a_keyring_cut_short_anywhere_is_damaged(path: Path) -> None:
    Keyring.create(path, MASTER).current("audit")
    content = path.read_bytes().rstrip()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(KeyringError, match="is damaged"):
            Keyring.open(path, MASTER)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000, b"1"])
def test_what_is_not_a_keyring_is_damaged(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyringError, match="is damaged: it is not a keyring"):
        Keyring.open(path, MASTER)


def test_a_newer_format_is_refused_as_such(path: Path) -> None:
    path.write_text('{"format": "credmgr-keyring-v2"}')
    path.chmod(0o600)
    with pytest.raises(KeyringError, match="does not know"):
        Keyring.open(path, MASTER)


def test_a_key_moved_to_another_purpose_does_not_open(path: Path) -> None:
    keys = Keyring.create(path, MASTER)
    keys.current("audit")
    keys.current("local:main")
    body = json.loads(path.read_bytes())
    body["keys"][0]["wrapped"], body["keys"][1]["wrapped"] = (
        body["keys"][1]["wrapped"],
        body["keys"][0]["wrapped"],
    )
    path.write_text(json.dumps(body))
    with pytest.raises(KeyringError, match="signature"):
        Keyring.open(path, MASTER)
    del body["signature"]  # as if the forger could sign, yet not unwrap
    body["signature"] = MasterKey(MASTER).sign(
        json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    )
    path.write_text(json.dumps(body))
    with pytest.raises(KeyringError, match="does not unwrap"):
        Keyring.open(path, MASTER)


def test_damage_that_happens_while_open_is_noticed_at_the_next_sealing(path: Path) -> None:
    keys = Keyring.create(path, MASTER)
    key_id, value = keys.current("audit")
    path.write_bytes(b"{}")
    with pytest.raises(KeyringError, match="is damaged"):
        keys.current("audit")
    assert keys.by_id("audit", key_id) == value
