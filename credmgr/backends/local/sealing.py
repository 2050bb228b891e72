"""The file format: values sealed one by one, and the whole file authenticated.

    credmgr-sealed-v1 <key id> <HMAC-SHA-256 of the rest and of the key id>
    {"backend": …, "born": …, "generation": …, "name": …, "versions": [{"sealed": …, …}, …]}

A value is sealed with AES-256-GCM; its associated data is backend, name and version, so it opens in
no other place. Stages are outside of that, so a promotion seals nothing; the HMAC covers them. Both
keys are derived from one data key of the keyring, which is itself bound to the installation.
"""

import base64
import hmac
import json
import secrets
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from credmgr.backends.local.book import Book, Entry
from credmgr.errors import CorruptSecret, KeyringError, NotOurs
from credmgr.model.version import Stage
from credmgr.plugins.context import Keys

MARK: Final = b"credmgr-sealed-"
_FORMAT: Final = b"credmgr-sealed-v1"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12  # what NIST SP 800-38D §5.2.1.1 recommends for GCM
_HEADER_WORDS: Final = 3


class _KeyPair(NamedTuple):
    cipher: AESGCM
    signing: bytes


class UnknownKey(CorruptSecret):
    """Sealed under a data key that the keyring does not have."""


class Sealer:
    """Seals and opens values and files for one backend. Thread-safe."""

    def __init__(self, keys: Keys, purpose: str) -> None:
        self._keys = keys
        self._purpose = purpose
        self._pairs: dict[str, _KeyPair] = {}

    def current_key(self) -> str:
        """The id of the key that seals now.

        Raises:
            KeyringError: The keyring cannot be opened or written.
        """
        key_id, value = self._keys.current(self._purpose)
        if key_id not in self._pairs:
            self._pairs[key_id] = _derive(value)
        return key_id

    def seal(self, name: str, version: UUID, value: bytes) -> tuple[str, bytes]:
        """The id of the key used, and the sealed value.

        Raises:
            KeyringError: The keyring cannot be opened or written.
        """
        key_id = self.current_key()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        context = self._context(name, version)
        return key_id, nonce + self._pairs[key_id].cipher.encrypt(nonce, value, context)

    def open(self, name: str, entry: Entry) -> bytes:
        """The value of an entry of `name`.

        Raises:
            CorruptSecret: It does not authenticate.
        """
        nonce, sealed = entry.sealed[:_NONCE_BYTES], entry.sealed[_NONCE_BYTES:]
        context = self._context(name, entry.version)
        try:
            return self._pair(name, entry.key_id).cipher.decrypt(nonce, sealed, context)
        except (InvalidTag, ValueError) as error:
            raise CorruptSecret(f"version {entry.version} of {name} does not open") from error

    def resealed(self, name: str, book: Book) -> Book:
        """The same values, all sealed under the key that seals now.

        Raises:
            CorruptSecret: One of them does not authenticate.
            KeyringError: The keyring cannot be opened or written.
        """
        return book.with_entries(tuple(self._anew(name, entry) for entry in book.entries))

    def encode(self, name: str, book: Book) -> bytes:
        """The file's content.

        Raises:
            KeyringError: The keyring cannot be opened or written.
        """
        key_id = self.current_key()
        body = json.dumps(
            {
                "backend": self._purpose,
                "born": book.born,
                "generation": book.generation,
                "name": name,
                "versions": [_row(entry) for entry in book.entries],
            }
        ).encode()
        header = b"%s %s" % (_FORMAT, key_id.encode())
        return b"%s %s\n%s\n" % (header, self._signature(key_id, header, body), body)

    def decode(self, name: str, content: bytes) -> Book:
        """The book in the file of `name`.

        Raises:
            NotOurs: The file does not begin as ours do.
            CorruptSecret: It is damaged, belongs to another name or backend, or its key is unknown.
        """
        if not content.startswith(MARK):
            raise NotOurs(f"the file of {name} was not written by credmgr")
        header, _, rest = content.partition(b"\n")
        words = header.split(b" ")
        if len(words) != _HEADER_WORDS or words[0] != _FORMAT or not rest.endswith(b"\n"):
            raise CorruptSecret(f"the file of {name} is cut short or of an unknown format")
        body, key_id = rest[:-1], words[1].decode("ascii", "replace")
        self._pair(name, key_id)
        signed = b" ".join(words[:2])
        if not hmac.compare_digest(self._signature(key_id, signed, body), words[2]):
            raise CorruptSecret(f"the file of {name} is damaged")
        return self._believed(name, json.loads(body))

    def is_signed_by(self, key_id: str, content: bytes) -> bool:
        """Whether a file of ours is authenticated under this key."""
        return content.startswith(b"%s %s " % (_FORMAT, key_id.encode()))

    def _believed(self, name: str, body: dict[str, Any]) -> Book:
        if body["backend"] != self._purpose or body["name"] != name:
            raise CorruptSecret(
                f"the file of {name} is the one of {body['name']} in {body['backend']}, moved here"
            )
        entries = tuple(_entry(row) for row in body["versions"])
        return Book(body["born"], body["generation"], entries)

    def _anew(self, name: str, entry: Entry) -> Entry:
        key_id, sealed = self.seal(name, entry.version, self.open(name, entry))
        return replace(entry, key_id=key_id, sealed=sealed)

    def _signature(self, key_id: str, header: bytes, body: bytes) -> bytes:
        signed = header + b"\n" + body
        return hmac.digest(self._pairs[key_id].signing, signed, "sha256").hex().encode()

    def _pair(self, name: str, key_id: str) -> _KeyPair:
        pair = self._pairs.get(key_id)
        if pair is None:
            try:
                pair = _derive(self._keys.by_id(self._purpose, key_id))
            except KeyringError as error:
                raise UnknownKey(f"{name} is sealed under another key: {error}") from error
            self._pairs[key_id] = pair
        return pair

    def _context(self, name: str, version: UUID) -> bytes:
        return json.dumps([_FORMAT.decode(), self._purpose, name, str(version)]).encode()


def _derive(key: bytes) -> _KeyPair:
    return _KeyPair(
        AESGCM(_derived(key, b"credmgr/local/value/v1")), _derived(key, b"credmgr/local/file/v1")
    )


def _derived(key: bytes, use: bytes) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=use).derive(key)


def _row(entry: Entry) -> dict[str, str | None]:
    return {
        "version": str(entry.version),
        "stage": entry.stage,
        "written_at": entry.written_at.isoformat(),
        "key": entry.key_id,
        "sealed": base64.b64encode(entry.sealed).decode(),
    }


def _entry(row: dict[str, str]) -> Entry:
    return Entry(
        version=UUID(row["version"]),
        stage=Stage(row["stage"]) if row["stage"] else None,
        written_at=datetime.fromisoformat(row["written_at"]),
        key_id=row["key"],
        sealed=base64.b64decode(row["sealed"]),
    )
