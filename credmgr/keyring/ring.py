"""`keyring.json`: which data keys there are, each wrapped, the whole signed by the master key."""

import base64
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from credmgr.errors import KeyringError
from credmgr.keyring.master import KEY_BYTES, MasterKey

FORMAT: Final = "credmgr-keyring-v1"
_ID_BYTES: Final = 8
_INSTALLATION_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class DataKey:
    """One data key.

    Attributes:
        purpose: What it seals: `audit`, `fingerprint`, `local:<backend name>`.
        id: Random, unique in the keyring; stands beside everything sealed with the key.
        value: 32 random bytes.
    """

    purpose: str
    id: str
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ring:
    """Every data key of an installation, oldest first."""

    installation: str
    keys: tuple[DataKey, ...] = ()

    @classmethod
    def new(cls) -> Self:
        """A ring without keys, for a new installation."""
        return cls(secrets.token_hex(_INSTALLATION_BYTES))

    def of(self, purpose: str) -> Sequence[DataKey]:
        """The keys of a purpose, oldest first; the last one seals."""
        return [key for key in self.keys if key.purpose == purpose]

    def get(self, purpose: str, key_id: str) -> DataKey | None:
        """One key."""
        return next((key for key in self.of(purpose) if key.id == key_id), None)

    def grown(self, purpose: str) -> Self:
        """The same with a new key for `purpose`."""
        key = DataKey(purpose, secrets.token_hex(_ID_BYTES), secrets.token_bytes(KEY_BYTES))
        return replace(self, keys=(*self.keys, key))

    def without(self, key_ids: Sequence[str]) -> Self:
        """The same without some keys."""
        return replace(self, keys=tuple(key for key in self.keys if key.id not in key_ids))

    def encode(self, master: MasterKey) -> bytes:
        """The file's content."""
        body: dict[str, Any] = {
            "format": FORMAT,
            "installation": self.installation,
            "master_key_id": master.id,
            "keys": [
                {
                    "purpose": key.purpose,
                    "id": key.id,
                    "wrapped": base64.b64encode(
                        master.wrap(key.value, _context(self.installation, key, master))
                    ).decode(),
                }
                for key in self.keys
            ],
        }
        body["signature"] = master.sign(_canonical(body))
        return json.dumps(body, indent=1).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class SealedRing:
    """The file's content, parsed but not yet believed.

    Attributes:
        path: Where it was, for messages.
        master_key_id: The id of the master key that it wants.
    """

    path: Path
    master_key_id: str
    body: dict[str, Any]
    signature: str

    @classmethod
    def parse(cls, content: bytes, path: Path) -> Self:
        """Read the file's content.

        Raises:
            KeyringError: It is not a keyring, or a newer one.
        """
        try:
            body = json.loads(content)
            found = body["format"]
            if found == FORMAT:
                return cls(path, str(body["master_key_id"]), body, str(body.pop("signature")))
        except (ValueError, TypeError, KeyError, RecursionError):
            raise KeyringError(f"{path} is damaged: it is not a keyring") from None
        raise KeyringError(f"{path} has a format that this credmgr does not know")

    def opened(self, master: MasterKey) -> Ring:
        """The data keys.

        Raises:
            KeyringError: The file was damaged or changed by somebody without the master key.
        """
        expected = master.sign(_canonical(self.body))
        if not hmac.compare_digest(expected.encode(), self.signature.encode(errors="replace")):
            raise KeyringError(f"{self.path} is damaged: its signature does not match")
        ring = Ring(self.body["installation"])
        keys = tuple(self._unwrapped(ring, row, master) for row in self.body["keys"])
        return replace(ring, keys=keys)

    def _unwrapped(self, ring: Ring, row: dict[str, str], master: MasterKey) -> DataKey:
        key = DataKey(row["purpose"], row["id"], b"")
        wrapped = base64.b64decode(row["wrapped"])
        value = master.unwrap(wrapped, _context(ring.installation, key, master))
        if value is None:
            raise KeyringError(f"{self.path} is damaged: key {key.id} does not unwrap")
        return replace(key, value=value)


def _context(installation: str, key: DataKey, master: MasterKey) -> bytes:
    return json.dumps([FORMAT, installation, key.purpose, key.id, master.id]).encode()


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
