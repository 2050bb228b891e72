"""What stands under one name of the vault, looked at and changed with the vault's own delays."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from typing import Final
from uuid import UUID

from credmgr.backends.azure_key_vault.failures import Disabled, Settling, SoftDeleted
from credmgr.backends.azure_key_vault.tagging import Entry
from credmgr.backends.azure_key_vault.vault import Copy, Vault
from credmgr.errors import BackendUnavailable, NotOurs, SecretNotFound
from credmgr.model.clock import Clock
from credmgr.model.names import Name
from credmgr.model.secret import Secret

_FIRST_PAUSE: Final = timedelta(milliseconds=50)
_LONGEST_PAUSE: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Shelf:
    """What one look found under a name of the vault.

    Attributes:
        entries: Every version; listed before `newest` was asked for, so none is newer than it.
        newest: The one that a native reader gets; without a value when it is disabled.
    """

    entries: Sequence[Entry]
    newest: Copy | None

    @property
    def version(self) -> UUID | None:
        """Our id of what a native reader gets; None when that is nothing."""
        return self.newest.entry.version if self.newest and self.newest.secret else None

    @property
    def secret(self) -> Secret | None:
        """What a native reader gets."""
        return self.newest.secret if self.newest else None

    def enabled(self, version: UUID | None = None) -> list[Entry]:
        """The versions of ours that the vault gives out, or those of one id."""
        ours = (entry for entry in self.entries if entry.enabled and entry.version)
        return [entry for entry in ours if version in (None, entry.version)]


class _Tries:
    """Growing pauses between tries, until patience ends."""

    def __init__(self, clock: Clock, patience: timedelta, still: str) -> None:
        self._clock = clock
        self._ends = clock.monotonic() + patience
        self._still = still
        self._pause = _FIRST_PAUSE

    def pause(self) -> None:
        """Wait before the next try.

        Raises:
            BackendUnavailable: Patience has ended; the message is `still`.
        """
        if self._clock.monotonic() + self._pause > self._ends:
            raise BackendUnavailable(self._still)
        self._clock.wait(Event(), self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)


class Shelves:
    """Looks and changes for `AzureBackend`, which decides."""

    def __init__(self, vault: Vault, clock: Clock, patience: timedelta, *, adopt: bool) -> None:
        self._vault = vault
        self._clock = clock
        self._patience = patience
        self._adopt = adopt

    def newest(self, spelled: str, name: Name) -> Copy | None:
        """What a native reader of `spelled` gets.

        Raises:
            NotOurs: It does not carry the mark for `name`.
        """
        try:
            copy = self._vault.get(spelled)
        except Disabled:
            entries = self._vault.versions(spelled)
            if not entries:
                return None
            copy = Copy(max(entries, key=lambda e: (e.written_at, not e.enabled, e.id)), None)
        except SecretNotFound:
            return None
        return copy if self._is_ours(copy.entry, name) else None

    def look(self, spelled: str, name: Name) -> Shelf:
        """Everything under `spelled`.

        Raises:
            NotOurs: What a native reader gets does not carry the mark for `name`.
        """
        entries = self._vault.versions(spelled)
        return Shelf(entries, self.newest(spelled, name))

    def require_ours(self, entries: Sequence[Entry], name: Name) -> None:
        """See to it that there is nothing, or a version of ours, or what may be adopted.

        Raises:
            NotOurs: None of the versions carries the mark for `name`.
        """
        if all(entry.name != name for entry in entries):
            for entry in entries:
                self._is_ours(entry, name)

    def by_id(self, spelled: str, entry_id: str, version: UUID) -> Copy | None:
        """One version with its value; None when the vault does not give it out."""
        try:
            copy = self._vault.get(spelled, entry_id)
        except SecretNotFound:
            return None
        return copy if copy.secret and copy.entry.version == version else None

    def write(
        self, spelled: str, name: Name, secret: Secret, tags: Mapping[str, str]
    ) -> tuple[Entry, frozenset[str]]:
        """Write a new version, recovering the name first when it is soft-deleted.

        Returns:
            What was written, and the ids of the versions that a recovery brought back.

        Raises:
            NotOurs: What is soft-deleted does not carry the mark for `name`.
        """
        revived: frozenset[str] = frozenset()
        tries = self._tries(f"{spelled} is still being deleted or recovered")
        while True:
            try:
                return self._vault.set(spelled, secret, tags), revived
            except SoftDeleted:
                revived |= self._revive(spelled, name)
            except Settling:
                pass
            tries.pause()

    def wait_until_newest(self, spelled: str, entry: Entry, known: frozenset[str]) -> Copy:
        """Wait until a native reader no longer gets what was known before `entry` was written.

        Raises:
            BackendUnavailable: It still does.
        """
        tries = self._tries(f"{spelled} does not show yet what was written")
        while True:
            with suppress(SecretNotFound):
                copy = self._vault.get(spelled)
                if copy.entry.id == entry.id or copy.entry.id not in known:
                    return copy
            tries.pause()

    def disable(self, spelled: str, entries: Sequence[Entry]) -> None:
        """Let the vault give none of `entries` out. May be repeated."""
        for entry in entries:
            self._vault.disable(spelled, entry.id)

    def _revive(self, spelled: str, name: Name) -> frozenset[str]:
        """Recover a name, with every version disabled: it held nothing, and holds nothing yet."""
        with suppress(SecretNotFound):
            self._is_ours(self._vault.deleted(spelled), name)
            self._vault.recover(spelled)
        tries = self._tries(f"{spelled} is still being recovered")
        while not self._is_there(spelled):
            tries.pause()
        entries = self._vault.versions(spelled)
        self.disable(spelled, [entry for entry in entries if entry.enabled and entry.name == name])
        return frozenset(entry.id for entry in entries)

    def _is_there(self, spelled: str) -> bool:
        try:
            self._vault.get(spelled)
        except Disabled:
            return True
        except SecretNotFound:
            return False
        return True

    def _is_ours(self, entry: Entry, name: Name) -> bool:
        """Whether `entry` carries the mark for `name`; False only where it may be adopted."""
        if entry.name == name:
            return True
        if self._adopt and entry.name is None:
            return False
        raise NotOurs(f"the object of {name} in Key Vault was not written by credmgr for it")

    def _tries(self, still: str) -> _Tries:
        return _Tries(self._clock, self._patience, still)
