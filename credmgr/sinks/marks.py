"""The mark beside a file that a sink wrote: which version it is, and a keyed hash of its content.

It holds two entries while a write is under way: it is written before the file, so that a crash in
between leaves a file that one of the two describes.
"""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from credmgr.errors import KeyringError
from credmgr.plugins.context import Keys

PURPOSE: Final = "sinks"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """What a file holds, or held before the last write.

    Attributes:
        version: credmgr's id of the version.
        key: The id of the key of the hash.
        mac: HMAC-SHA-256 over name, version and content, hexadecimal.
    """

    version: UUID
    key: str
    mac: str


@dataclass(frozen=True, slots=True)
class Mark:
    """That a file is ours.

    Attributes:
        name: Whose copy it is.
        entries: The newest first; never empty.
    """

    name: str
    entries: Sequence[Entry]

    @property
    def newest(self) -> Entry:
        """What was written last, or was about to be."""
        return self.entries[0]

    def text(self) -> bytes:
        """As it lies on the disk."""
        entries = [
            {"version": str(one.version), "key": one.key, "mac": one.mac} for one in self.entries
        ]
        return (json.dumps({"credmgr": _FORMAT, "name": self.name, "entries": entries})).encode()


def read_mark(content: bytes | None) -> Mark | None:
    """The mark in a file; None when there is none, or it is damaged."""
    try:
        fields: Any = json.loads(content or b"")
        entries = [
            Entry(UUID(one["version"]), str(one["key"]), str(one["mac"]))
            for one in fields["entries"]
        ]
        known = fields["credmgr"] == _FORMAT and isinstance(fields["name"], str)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return Mark(fields["name"], entries) if known and entries else None


class Sealer:
    """Hashes contents under a key of the keyring, and knows them again."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def entry(self, name: str, version: UUID, content: bytes) -> Entry:
        """What is to be remembered of a content.

        Raises:
            KeyringError: There is no key.
        """
        key_id, key = self._keys.current(PURPOSE)
        return Entry(version, key_id, _mac(key, name, version, content))

    def fits(self, entry: Entry, name: str, content: bytes) -> bool:
        """Whether a content is what the entry remembers."""
        try:
            key = self._keys.by_id(PURPOSE, entry.key)
        except KeyringError:
            return False
        return hmac.compare_digest(_mac(key, name, entry.version, content), entry.mac)

    def find(self, mark: Mark, content: bytes) -> Entry | None:
        """The entry that a content fits; None when it was changed."""
        return next((one for one in mark.entries if self.fits(one, mark.name, content)), None)


def _mac(key: bytes, name: str, version: UUID, content: bytes) -> str:
    covered = b"\0".join((name.encode(), version.bytes, content))
    return hmac.new(key, covered, hashlib.sha256).hexdigest()
