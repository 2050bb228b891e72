"""The master key: 32 random bytes that wrap the data keys and never leave their own file."""

import base64
import hmac
import re
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from credmgr.errors import KeyringError, MasterKeyMissing, MasterKeyWrong
from credmgr.keyring.disk import Disk, locked, read_private

PREFIX: Final = "credmgr-master-key-v1:"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12  # what NIST SP 800-38D §5.2.1.1 recommends for GCM
LOCK_PATIENCE: Final = timedelta(seconds=10)
_TEXT: Final = re.compile(re.escape(PREFIX) + r"([A-Za-z0-9+/]{43}=)\s*", re.ASCII)
_ID_BYTES: Final = 8


class Revealed(Protocol):
    """What holds a value without showing it: `credmgr.model.secret.Secret`, a layer above."""

    def reveal(self) -> str:
        """The value."""
        ...


Master = Path | bytes | Revealed
"""Where the master key is: in a file, as 32 bytes, or as the text that the file would hold."""


class MasterKey:
    """A master key with its id, a keyed hash by which a wrong key is told apart from damage."""

    __slots__ = ("_signing", "_value", "_wrapping", "id")

    def __init__(self, value: bytes) -> None:
        if len(value) != KEY_BYTES:
            raise MasterKeyWrong(f"a master key has {KEY_BYTES} bytes, this one {len(value)}")
        self._value = value
        self._wrapping = AESGCM(derived(value, "credmgr/master/wrap/v1"))
        self._signing = derived(value, "credmgr/master/sign/v1")
        self.id = derived(value, "credmgr/master/id/v1")[:_ID_BYTES].hex()

    @classmethod
    def generate(cls) -> "MasterKey":
        """A new one."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def parse(cls, text: str, place: str) -> "MasterKey":
        """Read the text form; `place` says in a message where it came from.

        Raises:
            MasterKeyWrong: It is not a master key's text.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise MasterKeyWrong(
                f"{place} does not hold a master key", hint=f"the form is {PREFIX}BASE64"
            )
        return cls(base64.b64decode(found[1]))

    def text(self) -> str:
        """The text form: a line that secret scanners can recognise."""
        return f"{PREFIX}{base64.b64encode(self._value).decode()}\n"

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Seal a data key; `context` must be the same when it is unwrapped."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes | None:
        """The data key; None when it was damaged or moved."""
        try:
            return self._wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            return None

    def sign(self, content: bytes) -> str:
        """HMAC-SHA-256 of `content`, hexadecimal."""
        return hmac.digest(self._signing, content, "sha256").hex()


class MasterSource(Protocol):
    """Where the master key comes from, asked anew whenever the keyring has changed."""

    def read(self) -> MasterKey:
        """The key that is there now.

        Raises:
            MasterKeyMissing: There is none.
            MasterKeyWrong: What is there is not a master key.
            KeyringError: It cannot be read, or others can read it.
        """
        ...

    def find(self, wanted: str) -> tuple[MasterKey, bool]:
        """The key of this id, and whether an interrupted rekey has still to put it in place.

        Raises:
            MasterKeyMissing: There is none.
            MasterKeyWrong: There is one of another id.
        """
        ...

    def settle(self, disk: Disk) -> None:
        """Put the successor in place, once the keyring is wrapped by it."""
        ...


class GivenMaster:
    """A master key that was handed over as a value."""

    def __init__(self, key: MasterKey) -> None:
        self._key = key

    def read(self) -> MasterKey:
        """The key."""
        return self._key

    def find(self, wanted: str) -> tuple[MasterKey, bool]:
        """The key, if it has this id."""
        if self._key.id != wanted:
            raise MasterKeyWrong(hint=f"the keyring wants {wanted}, this one is {self._key.id}")
        return self._key, False

    def settle(self, disk: Disk) -> None:
        """A value has no successor."""


class MasterFile:
    """A master key in a file, with its successor beside it while a rekey is under way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.successor = path.with_name(f"{path.name}.new")

    def read(self) -> MasterKey:
        """The key in the file."""
        return self._read(self.path)

    def find(self, wanted: str) -> tuple[MasterKey, bool]:
        """The key of this id, in the file or beside it.

        The successor is looked at first: a rekey that ends in between moves it to where we look
        second, so it cannot be missed.
        """
        try:
            successor = self._read(self.successor)
        except (MasterKeyMissing, MasterKeyWrong):
            successor = None
        if successor is not None and successor.id == wanted:
            return successor, True
        key = self._read(self.path)
        if key.id != wanted:
            raise MasterKeyWrong(
                f"the master key in {self.path} does not open this keyring",
                hint=f"the keyring wants {wanted}, this one is {key.id}",
            )
        return key, False

    def settle(self, disk: Disk) -> None:
        """Let the successor take the file's place."""
        disk.rename(self.successor, self.path)
        disk.sync_folder(self.path.parent)

    def _read(self, path: Path) -> MasterKey:
        try:
            content = read_private(path)
        except FileNotFoundError as error:
            raise MasterKeyMissing(f"there is no master key at {path}") from error
        except OSError as error:
            raise unusable(error) from error
        return MasterKey.parse(content.decode("ascii", "replace"), str(path))


def source_of(master: Master) -> MasterSource:
    """The source behind a `Master`.

    Raises:
        MasterKeyWrong: A value is not a master key.
    """
    if isinstance(master, Path):
        return MasterFile(master)
    if isinstance(master, bytes):
        return GivenMaster(MasterKey(master))
    return GivenMaster(MasterKey.parse(master.reveal(), "the value given as master key"))


def create_master_key(path: Path, *, disk: Disk | None = None) -> None:
    """Make a new master key in a file of mode 0600. An existing one is never touched.

    Raises:
        KeyringError: There is a file already, or it cannot be written.
    """
    disk = disk or Disk()
    try:
        with locked(path.with_name(f".{path.name}.lock"), LOCK_PATIENCE):
            if is_taken(path):
                raise KeyringError(f"{path} exists already; a master key is never overwritten")
            content = MasterKey.generate().text().encode()
            disk.replace(path, content, path.with_name(f".{path.name}.tmp"))
    except OSError as error:
        raise unusable(error) from error


def is_taken(path: Path) -> bool:
    """Whether anything has this name, be it a link that leads nowhere."""
    return path.is_symlink() or path.exists()


def unusable(error: OSError) -> KeyringError:
    """The disk's complaint as a sentence."""
    return KeyringError(f"{error.filename or 'the disk'}: {error.strerror}")


def derived(key: bytes, use: str) -> bytes:
    """32 bytes for one use, by HKDF-SHA-256 (RFC 5869); keys of different uses are independent."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=use.encode()).derive(key)
