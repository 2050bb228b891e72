"""The copies of one credential: the store first, then its targets."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from credmgr.errors import Conflict, SecretNotFound
from credmgr.model.credential import Credential, Place
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import SecretBackend


class Backends(Protocol):
    """Open sessions by their names in the manifest."""

    def __getitem__(self, name: Name, /) -> SecretBackend:
        """The session of this name."""
        ...


class CredentialCopies:
    """Every copy of one credential. Each call may be repeated; a place already done is left alone.

    All methods may raise what a `SecretBackend` raises.

    Attributes:
        quarantine: How long a late write of an earlier process could still arrive somewhere; zero
            where every place compares and sets.
    """

    def __init__(
        self, credential: Credential, backends: Backends, quarantine: timedelta = timedelta()
    ) -> None:
        self._places = {place: backends[place.backend] for place in credential.places}
        self._store = credential.store
        self.quarantine = quarantine

    def current(self) -> Mapping[Place, UUID | None]:
        """Which version readers of each place see; None where there is nothing yet."""
        return {place: self._at(place, Stage.CURRENT) for place in self._places}

    def staged(self, version: UUID) -> Secret | None:
        """The value that the store holds as `next`, if it is `version`."""
        return self._read(self._store, Stage.NEXT, version)

    def read(self, stage: Stage, version: UUID) -> Mapping[Place, Secret | None]:
        """Every place's value at `stage`, None where it is not `version`."""
        return {place: self._read(place, stage, version) for place in self._places}

    def stage(self, secret: Secret, version: UUID) -> None:
        """Write the value as `next` everywhere, the store first."""
        for place, backend in self._places.items():
            backend.stage(place.name, secret, version)

    def promote(self, version: UUID, old: UUID | None) -> None:
        """Make `version` current everywhere, store first, where `old` or nothing is current now.

        Raises:
            Conflict: A place holds another version; places before it have been moved.
        """
        for place, backend in self._places.items():
            held = self._at(place, Stage.CURRENT)
            if held not in (None, old, version):
                raise Conflict(f"{place} holds {held}, expected {old}")
            if held != version:
                backend.promote(place.name, version, expect=held)

    def restore(self, version: UUID, old: UUID | None) -> None:
        """Undo `promote`: make `old` current wherever `version` is; remove it where nothing was."""
        for place, backend in self._places.items():
            if self._at(place, Stage.CURRENT) != version:
                continue
            if old is not None and self._holds(place, old):
                backend.promote(place.name, old, expect=version)
            else:
                backend.delete(place.name)

    def fill(self, version: UUID) -> Sequence[Place]:
        """Give every target that holds nothing the store's current value, if it is `version`.

        Returns:
            The places that were written.
        """
        empty = [place for place in self._places if self._at(place, Stage.CURRENT) is None]
        value = self._read(self._store, Stage.CURRENT, version) if empty else None
        if value is None:
            return ()
        for place in empty:
            self._places[place].stage(place.name, value, version)
            self._places[place].promote(place.name, version, expect=None)
        return empty

    def discard(self, version: UUID) -> None:
        """Destroy a version that is not current, everywhere."""
        for place, backend in self._places.items():
            backend.discard(place.name, version)

    def keep_only(self, version: UUID) -> None:
        """Destroy whatever else is held under the credential's names and is not current."""
        for place, backend in self._places.items():
            for held in backend.versions(place.name):
                if held.version != version and held.stage is not Stage.CURRENT:
                    backend.discard(place.name, held.version)

    def delete(self) -> None:
        """Remove the credential from every place."""
        for place, backend in self._places.items():
            backend.delete(place.name)

    def _at(self, place: Place, stage: Stage) -> UUID | None:
        held = self._places[place].versions(place.name)
        return next((one.version for one in held if one.stage is stage), None)

    def _holds(self, place: Place, version: UUID) -> bool:
        return any(one.version == version for one in self._places[place].versions(place.name))

    def _read(self, place: Place, stage: Stage, version: UUID) -> Secret | None:
        try:
            held = self._places[place].read(place.name, stage)
        except SecretNotFound:
            return None
        return held.secret if held.version == version else None
