"""What is held under one name, and how each call changes it; pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self
from uuid import UUID

from credmgr.model.version import Stage


@dataclass(frozen=True, slots=True)
class Entry:
    """One version with its sealed value.

    Attributes:
        version: credmgr's id of the version.
        stage: Which copy it is; None for one kept from before `previous`.
        written_at: When it was staged.
        key_id: The data key that seals it.
        sealed: Nonce, ciphertext and tag.
    """

    version: UUID
    stage: Stage | None
    written_at: datetime
    key_id: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Book:
    """Every version under one name, oldest first.

    Attributes:
        born: Random, made with the file, so that a name used anew starts a new count.
        generation: Grows by one with each change.
        entries: At most one per stage.
    """

    born: str
    generation: int = 0
    entries: tuple[Entry, ...] = ()

    def at(self, stage: Stage) -> Entry | None:
        """What is at `stage`."""
        return next((entry for entry in self.entries if entry.stage is stage), None)

    def find(self, version: UUID) -> Entry | None:
        """What is held of `version`."""
        return next((entry for entry in self.entries if entry.version == version), None)

    def staged(self, entry: Entry) -> Self:
        """With `entry` as `next`, in the place of an earlier `next`."""
        kept = (
            other
            for other in self.entries
            if other.stage is not Stage.NEXT and other.version != entry.version
        )
        return self._changed((*kept, replace(entry, stage=Stage.NEXT)))

    def promoted(self, version: UUID) -> Self:
        """With `version` as `current`, and what was current as `previous`."""
        return self._changed(tuple(self._moved(version)))

    def without(self, version: UUID) -> Self:
        """With `version` gone."""
        return self._changed(tuple(entry for entry in self.entries if entry.version != version))

    def with_entries(self, entries: tuple[Entry, ...]) -> Self:
        """With the same versions, sealed anew."""
        return self._changed(entries)

    def _moved(self, version: UUID) -> Iterator[Entry]:
        for entry in self.entries:
            if entry.version == version:
                yield replace(entry, stage=Stage.CURRENT)
            elif entry.stage is Stage.CURRENT:
                yield replace(entry, stage=Stage.PREVIOUS)
            elif entry.stage is Stage.PREVIOUS:
                yield replace(entry, stage=None)
            else:
                yield entry

    def _changed(self, entries: tuple[Entry, ...]) -> Self:
        return replace(self, generation=self.generation + 1, entries=entries)
