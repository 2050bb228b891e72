"""The local store as a `SecretBackend`."""

import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID, uuid4

from credmgr.backends.local.book import Book, Entry
from credmgr.backends.local.folder import PROBE, Folder, translated
from credmgr.backends.local.sealing import MARK, Sealer, UnknownKey
from credmgr.errors import Conflict, CorruptSecret, LimitExceeded, NotOurs, SecretNotFound
from credmgr.keyring import Disk
from credmgr.model.clock import Clock
from credmgr.model.names import MAX_NAME_LENGTH, Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import Held, HeldVersion, Limits

_T = TypeVar("_T")
LIMITS: Final = Limits(value_bytes=65_536, name_length=MAX_NAME_LENGTH)
_BORN_BYTES: Final = 8
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class LocalBackend:
    """Sealed files in a folder. Thread-safe, and safe between processes.

    A reader takes no lock: it sees a file as it was before or after a change, never between.
    """

    def __init__(
        self, *, folder: Path, sealer: Sealer, clock: Clock, patience: timedelta, disk: Disk
    ) -> None:
        self._sealer = sealer
        self._clock = clock
        self._folder = Folder(folder, patience, disk)
        self._seen: dict[str, tuple[str, int]] = {}
        self._folder.prepare()

    def read(self, name: Name, stage: Stage = Stage.CURRENT) -> Held:
        """The copy at `stage`. May be repeated.

        Raises:
            SecretNotFound: Nothing is at that stage.
            CorruptSecret: What is there does not authenticate.
            NotOurs: What is there was not written by credmgr.
        """
        return _again_after_reseal(lambda: self._read(name, stage))

    def stage(self, name: Name, secret: Secret, version: UUID) -> None:
        """Write `secret` as `next`. Repeating it with the same version and value changes nothing.

        Raises:
            Conflict: `version` exists already with another value.
            LimitExceeded: The value is too long or not Unicode text.
            CorruptSecret: What is there does not authenticate.
            NotOurs: The name holds something that credmgr did not write.
        """
        value = _encoded(secret)
        with self._folder.exclusive(name):
            book = self._load(name) or _new_book()
            entry = book.find(version)
            if entry is None:
                entry = self._sealed(name, version, value)
            elif not secrets.compare_digest(self._sealer.open(name, entry), value):
                raise Conflict(f"version {version} of {name} exists already with another value")
            if entry.stage is None:
                self._save(name, book.staged(entry))

    def promote(self, name: Name, version: UUID, expect: UUID | None) -> None:
        """Make `version` current, if `current` is `expect`. May be repeated.

        Raises:
            Conflict: `current` is neither `expect` nor `version`.
            SecretNotFound: `version` is neither `next` nor `previous`.
            CorruptSecret: What is there does not authenticate.
            NotOurs: The name holds something that credmgr did not write.
        """
        with self._folder.exclusive(name):
            book = self._load(name) or _new_book()
            current = book.at(Stage.CURRENT)
            held = current.version if current else None
            if held == version:
                return
            if held != expect:
                raise Conflict(f"{name} has the current version {held}, not {expect}")
            entry = book.find(version)
            if entry is None or entry.stage is None:
                raise SecretNotFound(f"{name} has no version {version} to promote")
            self._sealer.open(name, entry)  # never point readers at what does not open
            self._save(name, book.promoted(version))

    def discard(self, name: Name, version: UUID) -> None:
        """Destroy the value of a version that is not current. An absent one is no error.

        Raises:
            Conflict: `version` is current.
            CorruptSecret: What is there does not authenticate.
            NotOurs: The name holds something that credmgr did not write.
        """
        with self._folder.exclusive(name):
            book = self._load(name)
            entry = book.find(version) if book else None
            if book is None or entry is None:
                return
            if entry.stage is Stage.CURRENT:
                raise Conflict(f"version {version} of {name} is current")
            left = book.without(version)
            if left.entries:
                self._save(name, left)
            else:
                self._folder.remove(name)

    def versions(self, name: Name) -> Sequence[HeldVersion]:
        """Every version held, newest first; empty when the name is unknown. May be repeated.

        Raises:
            CorruptSecret: What is there does not authenticate.
            NotOurs: What is there was not written by credmgr.
        """
        book = _again_after_reseal(lambda: self._load(name))
        entries = reversed(book.entries) if book else ()
        return [HeldVersion(entry.version, entry.stage, entry.written_at) for entry in entries]

    def delete(self, name: Name) -> None:
        """Remove the name with all of its versions, even damaged ones. An absent one is no error.

        Raises:
            NotOurs: The name holds something that credmgr did not write.
        """
        with self._folder.exclusive(name):
            content = self._folder.read(name)
            if content is not None and not content.startswith(MARK):
                raise NotOurs(f"the file of {name} was not written by credmgr")
            self._folder.remove(name)

    def check(self) -> None:
        """Prove that the folder can be written and that a value of ours opens. May be repeated.

        Raises:
            CorruptSecret: The keyring is another one than the store was written with.
            AccessDenied: The folder is open to other users, or may not be written.
            BackendUnavailable: The disk or the keyring fails.
        """
        with self._folder.exclusive(PROBE):
            book = self._load(PROBE) or _new_book()
            for entry in book.entries:
                self._sealer.open(PROBE, entry)
            value = secrets.token_hex().encode()
            self._save(PROBE, book.staged(self._sealed(PROBE, uuid4(), value)))

    def reseal(self) -> None:
        """Seal every value anew under the newest data key; what `Keyring.rekey_data` asks for.

        One file at a time, so it may be killed and repeated. When it returns, no value is left
        under an older key: every change that began with an older one has ended before the first
        look, and a change that begins later takes the newest.

        Raises:
            CorruptSecret: A value does not open; restore or delete it, then repeat.
            BackendError: A file cannot be read or written.
        """
        self._folder.wait_for_writers()
        for name in self._folder.names():
            with self._folder.exclusive(name), suppress(NotOurs):
                self._reseal(name)

    def close(self) -> None:
        """Nothing stays open between calls."""

    def _read(self, name: Name, stage: Stage) -> Held:
        book = self._load(name)
        entry = book.at(stage) if book else None
        if entry is None:
            raise SecretNotFound(f"{name} has no {stage} secret")
        return Held(entry.version, stage, Secret(self._sealer.open(name, entry).decode()))

    def _reseal(self, name: str) -> None:
        content = self._folder.read(name)
        if content is None:
            return
        book = self._sealer.decode(name, content)
        with translated():
            newest = self._sealer.current_key()
        if not self._sealer.is_signed_by(newest, content) or any(
            entry.key_id != newest for entry in book.entries
        ):
            with translated():
                anew = self._sealer.resealed(name, book)
            self._save(name, anew)

    def _sealed(self, name: str, version: UUID, value: bytes) -> Entry:
        with translated():
            key_id, sealed = self._sealer.seal(name, version, value)
        return Entry(version, None, self._clock.now(), key_id, sealed)

    def _load(self, name: str) -> Book | None:
        seen = self._seen.get(name)  # before the file is opened: it can only be newer
        content = self._folder.read(name)
        if content is None:
            return None
        book = self._sealer.decode(name, content)
        if seen and seen[0] == book.born and book.generation < seen[1]:
            raise CorruptSecret(
                f"the file of {name} is older than one already read: "
                f"generation {book.generation} after {seen[1]}"
            )
        self._remember(name, book)
        return book

    def _save(self, name: str, book: Book) -> None:
        with translated():
            content = self._sealer.encode(name, book)
        self._folder.replace(name, content)
        self._remember(name, book)

    def _remember(self, name: str, book: Book) -> None:
        seen = self._seen.get(name)
        if seen is None or seen[0] != book.born or seen[1] < book.generation:
            self._seen[name] = (book.born, book.generation)


def _again_after_reseal(attempt: Callable[[], _T]) -> _T:
    """Read once more when the key was dropped between reading the file and opening it."""
    try:
        return attempt()
    except UnknownKey:
        return attempt()


def _new_book() -> Book:
    return Book(secrets.token_hex(_BORN_BYTES))


def _encoded(secret: Secret) -> bytes:
    text = secret.reveal()
    # A search, not a failed encoding: its exception would carry the value.
    if _SURROGATE.search(text):
        raise LimitExceeded("the value is not Unicode text")
    value = text.encode()
    if len(value) > LIMITS.value_bytes:
        raise LimitExceeded(f"the value has {len(value)} bytes; at most {LIMITS.value_bytes} fit")
    return value
