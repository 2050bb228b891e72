"""The keyring of one installation: data keys by purpose, and changing the keys that guard them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Final, Self

from credmgr.errors import KeyringError, MasterKeyMissing, MasterKeyWrong
from credmgr.keyring.disk import Disk, check_guarded_folder, locked, read_private
from credmgr.keyring.master import (
    LOCK_PATIENCE,
    Master,
    MasterFile,
    MasterKey,
    MasterSource,
    is_taken,
    source_of,
    unusable,
)
from credmgr.keyring.ring import Ring, SealedRing

FIXED_PURPOSES: Final = frozenset({"audit", "fingerprint"})
"""Never renewed: what they signed earlier has to verify and compare for ever."""


class Keyring:
    """Satisfies `credmgr.plugins.context.Keys`. Thread-safe, and safe between processes.

    Every process sees at its next `current` what another one has written, so that no value is ever
    sealed under a key that is about to be dropped.
    """

    def __init__(self, path: Path, source: MasterSource, disk: Disk) -> None:
        self._path = path
        self._source = source
        self._disk = disk
        self._content: bytes | None = None
        self._ring = Ring("")
        self._master: MasterKey
        self._guard = RLock()

    @classmethod
    def create(cls, path: Path, master: Master, *, disk: Disk | None = None) -> Self:
        """Make a new keyring without keys. An existing one is never touched.

        Raises:
            KeyringError: There is a keyring already, it cannot be written, or there is no usable
                master key; then nothing has been written.
        """
        source = source_of(master)
        key = source.read()
        keyring = cls(path, source, disk or Disk())
        with keyring._exclusive():
            if is_taken(path):
                raise KeyringError(f"{path} exists already; a keyring is never overwritten")
            keyring._write(Ring.new(), key)
            keyring._load(exclusive=True)
        return keyring

    @classmethod
    def open(cls, path: Path, master: Master, *, disk: Disk | None = None) -> Self:
        """Open an existing keyring, finishing a rekey that was interrupted. May be repeated.

        Raises:
            MasterKeyMissing: There is no master key.
            MasterKeyWrong: It is another one than this keyring's.
            KeyringError: The keyring is missing, damaged, or open to other users. As with the
                others, nothing has been written.
        """
        keyring = cls(path, source_of(master), disk or Disk())
        keyring._load()
        return keyring

    @property
    def installation(self) -> str:
        """The id of this installation, random, made with the keyring."""
        return self._ring.installation

    @property
    def master_key_id(self) -> str:
        """The id of the master key that wraps the data keys now."""
        return self._master.id

    def current(self, purpose: str) -> tuple[str, bytes]:
        """The id and the 32 bytes of the key to seal with now; made on first use.

        Raises:
            KeyringError: The keyring cannot be read or written.
        """
        with self._guard:
            self._load()
            if not self._ring.of(purpose):
                with self._exclusive():
                    self._load(exclusive=True)
                    if not self._ring.of(purpose):
                        self._change(self._ring.grown(purpose))
            newest = self._ring.of(purpose)[-1]
            return newest.id, newest.value

    def by_id(self, purpose: str, key_id: str) -> bytes:
        """The 32 bytes of a key that something was sealed with earlier.

        Raises:
            KeyringError: There is no such key.
        """
        found = self._ring.get(purpose, key_id)
        if found is None:
            with self._guard:
                self._load()
                found = self._ring.get(purpose, key_id)
        if found is None:
            raise KeyringError(f"the keyring has no key {key_id} for {purpose}")
        return found.value

    def key_ids(self, purpose: str) -> Sequence[str]:
        """The ids of a purpose's keys, oldest first. More than one: a renewal is not finished."""
        with self._guard:
            self._load()
            return [key.id for key in self._ring.of(purpose)]

    def rekey(self, to: Master | None = None) -> None:
        """Wrap every data key under a new master key; values stay as they are.

        With a master key file and no `to`, a new key is made and ends up in that file. Otherwise
        `to` is the new master key, made beforehand; from then on only it opens the keyring. Killed
        at any moment, the keyring opens with the old key or the new one, which `open` finds and
        puts in place; a repetition starts afresh.

        Raises:
            KeyringError: The old key does not open the keyring, there is no new one, or the disk
                fails; then the keyring still opens.
        """
        with self._guard, self._exclusive():
            self._load(exclusive=True)
            if to is not None:
                source = source_of(to)
                self._write(self._ring, source.read())
                self._source = source
            elif isinstance(self._source, MasterFile):
                self._replace_file(self._source)
            else:
                raise KeyringError(
                    "the master key is not in a file, so a new one cannot be put in its place",
                    hint="make one, and say where it is",
                )
            self._load(exclusive=True)

    def rekey_data(self, sealers: Mapping[str, Callable[[], object]]) -> None:
        """Give each purpose a new data key, and drop the old one once nothing needs it.

        Killed at any moment, every value still opens; a repetition goes on where it was. Safe while
        other processes seal and open.

        Args:
            sealers: By purpose, what seals everything anew under `current` and returns only when no
                value under an older key is left or can still appear. A purpose that has no key yet
                is skipped.

        Raises:
            KeyringError: A purpose is `audit` or `fingerprint`, or the keyring cannot be written.
            CredmgrError: Whatever a sealer raises; the old keys stay.
        """
        if fixed := FIXED_PURPOSES & sealers.keys():
            raise KeyringError(
                f"the data key for {', '.join(sorted(fixed))} is never renewed: "
                "what it signed could no longer be verified"
            )
        for purpose, seal_anew in sealers.items():
            if old := self._begin_renewal(purpose):
                seal_anew()
                self._drop(old)

    def _begin_renewal(self, purpose: str) -> Sequence[str]:
        with self._guard, self._exclusive():
            self._load(exclusive=True)
            keys = [key.id for key in self._ring.of(purpose)]
            if len(keys) == 1:
                self._change(self._ring.grown(purpose))
                return keys
            return keys[:-1]

    def _drop(self, key_ids: Sequence[str]) -> None:
        with self._guard, self._exclusive():
            self._load(exclusive=True)
            self._change(self._ring.without(key_ids))

    def _replace_file(self, source: MasterFile) -> None:
        key = MasterKey.generate()
        beside = source.path.with_name(f".{source.path.name}.tmp")
        with _translated():
            self._disk.replace(source.successor, key.text().encode(), beside)
        self._write(self._ring, key)
        self._settle()

    def _settle(self) -> None:
        with _translated():
            self._source.settle(self._disk)

    def _load(self, *, exclusive: bool = False) -> None:
        """Make sure that what we hold is what the file says; reading it costs microseconds."""
        content = self._read()
        if content == self._content:
            return
        sealed = SealedRing.parse(content, self._path)
        try:
            master, unfinished = self._source.find(sealed.master_key_id)
        except (MasterKeyMissing, MasterKeyWrong):
            if self._read() == content:
                raise
            self._load(exclusive=exclusive)  # a rekey ended between our two reads
            return
        ring = sealed.opened(master)
        if unfinished and not exclusive:
            with self._exclusive():
                self._load(exclusive=True)
            return
        if unfinished:
            self._settle()
        self._content, self._ring, self._master = content, ring, master

    def _read(self) -> bytes:
        with _translated():
            try:
                check_guarded_folder(self._path.parent)
                return read_private(self._path)
            except FileNotFoundError as error:
                raise KeyringError(
                    f"there is no keyring at {self._path}", hint="`credmgr init` makes one"
                ) from error

    def _change(self, ring: Ring) -> None:
        self._write(ring, self._master)
        self._load(exclusive=True)

    def _write(self, ring: Ring, key: MasterKey) -> None:
        with _translated():
            self._disk.replace(self._path, ring.encode(key), self._beside("tmp"))

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with _translated(), locked(self._beside("lock"), LOCK_PATIENCE):
            yield

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(f".{self._path.name}.{suffix}")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unusable(error) from error
