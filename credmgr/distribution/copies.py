"""The copies of one credential that a rotation answers for: the store, then the required targets.

What stands in a best-effort target is the keeper's business (`keeper.py`): it may come late, and a
rotation neither stops nor fails because of it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar
from uuid import UUID

from credmgr.distribution.dating import date
from credmgr.distribution.together import Together, in_turn
from credmgr.errors import Conflict, SecretNotFound
from credmgr.model.credential import Credential, Place
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import Pointing, SecretBackend
from credmgr.plugins.sink import Sink, SinkState

T = TypeVar("T")
S_co = TypeVar("S_co", covariant=True)


class Opened(Protocol[S_co]):
    """Open sessions by their names in the manifest."""

    def __getitem__(self, name: Name, /) -> S_co:
        """The session of this name."""
        ...

    def __contains__(self, name: object, /) -> bool:
        """Whether the manifest has one of this name."""
        ...


class CredentialCopies:
    """The store's copy and every required one. Each call may be repeated.

    The store comes first and by itself; the targets follow, all at the same time. All methods may
    raise what a `SecretBackend` or a `Sink` raises.

    Attributes:
        quarantine: How long a late write of an earlier process could still arrive somewhere; zero
            where every place compares and sets.
    """

    def __init__(
        self,
        credential: Credential,
        backends: Opened[SecretBackend],
        sinks: Opened[Sink],
        quarantine: timedelta = timedelta(),
        together: Together = in_turn,
    ) -> None:
        required = [target.place for target in credential.targets if target.required]
        written = [place for place in required if place.backend in sinks]
        kept = [credential.store, *(place for place in required if place not in written)]
        self._places = {place: backends[place.backend] for place in kept}
        self._sinks = {place: sinks[place.backend] for place in written}
        self._store, self._targets = credential.store, tuple(kept[1:])
        self._together = together
        self.quarantine = quarantine

    def current(self) -> Mapping[Place, UUID | None]:
        """Which version readers of each place see, sinks left out; None where nothing is yet."""
        return self._at_each(self._places, self._current)

    def showing(self, version: UUID) -> Sequence[Place]:
        """The places whose readers see a version, sinks that can tell among them."""
        shown = [place for place, held in self.current().items() if held == version]
        states = self._at_each(self._sinks, self._state)
        return shown + [p for p, state in states.items() if state and state.version == version]

    def lacking(self, version: UUID) -> Sequence[Place]:
        """The sinks that can tell, and tell that they do not hold a version as it was written."""
        states = self._at_each(self._sinks, self._state)
        return [p for p, state in states.items() if state and not _holds(state, version)]

    def kept(self, stage: Stage, version: UUID) -> Secret | None:
        """The value that the store holds at `stage`, if it is `version`."""
        return self._read(self._store, stage, version)

    def read(self, stage: Stage, version: UUID) -> Mapping[Place, Secret | None]:
        """Every place's value at `stage`, None where it is not `version`; sinks are never read."""
        return self._at_each(self._places, partial(self._read, stage=stage, version=version))

    def stage(self, secret: Secret, version: UUID) -> Sequence[Place]:
        """Write the value as `next` everywhere, the store first; a sink must be able to take it.

        Returns:
            Where it is staged.
        """
        self._at_each(self._sinks, lambda place: self._sinks[place].check())

        def write(place: Place) -> None:
            self._places[place].stage(place.name, secret, version)

        self._store_first(write)
        return tuple(self._places)

    def promote(self, version: UUID, old: UUID | None) -> None:
        """Make `version` current everywhere, store first, where `old` or nothing is current now.

        Raises:
            Conflict: A place holds another version; others may have been moved.
        """

        def move(place: Place) -> None:
            try:
                self._places[place].promote(place.name, version, expect=old)
            except Conflict as error:
                held = self._current(place)
                if held is not None or old is None:
                    raise Conflict(f"{place} holds {held}, expected {old}") from error
                self._places[place].promote(place.name, version, expect=None)

        self._store_first(move)
        self._write(self._sinks, version)

    def date(self, version: UUID, expires_at: datetime) -> None:
        """Note when a version that is current dies by itself, where a store can say so."""
        self._at_each(
            self._places,
            lambda place: date(self._places[place], place, version, expires_at),
        )

    def restore(self, version: UUID, old: UUID | None) -> None:
        """Undo `promote`: make `old` current wherever `version` is; remove it where nothing was."""

        def move(place: Place) -> None:
            backend = self._places[place]
            if self._current(place) != version:
                return
            if old is not None and self._regained(place, old):
                backend.promote(place.name, old, expect=version)
            else:
                backend.delete(place.name)

        self._store_first(move)
        if old is None:
            self._at_each(self._sinks, self._remove)
        else:
            self._write(self._sinks, old)

    def fill(self, version: UUID) -> Sequence[Place]:
        """Give every target that holds nothing the store's current value, if it is `version`.

        Returns:
            The places that were written.
        """
        shown = self._at_each(self._targets, self._current)
        empty = [place for place, held in shown.items() if held is None]
        states = self._at_each(self._sinks, self._state)
        bare = [p for p, state in states.items() if state and state.version is None]
        value = self._read(self._store, Stage.CURRENT, version) if empty or bare else None
        if value is None:
            return ()

        def write(place: Place) -> None:
            self._places[place].stage(place.name, value, version)
            self._places[place].promote(place.name, version, expect=None)

        self._at_each(empty, write)
        self._write(bare, version)
        return [*empty, *bare]

    def discard(self, version: UUID) -> None:
        """Destroy a version that is not current, everywhere."""
        self._store_first(lambda place: self._places[place].discard(place.name, version))

    def keep_only(self, version: UUID) -> None:
        """Destroy whatever else is held under the credential's names and is not current."""

        def tidy(place: Place) -> None:
            for held in self._places[place].versions(place.name):
                if held.version != version and held.stage is not Stage.CURRENT:
                    self._places[place].discard(place.name, held.version)

        self._store_first(tidy)

    def delete(self) -> None:
        """Remove the credential from every place, the store last."""
        self._at_each(self._sinks, self._remove)
        self._at_each(self._targets, lambda place: self._places[place].delete(place.name))
        self._places[self._store].delete(self._store.name)

    def _store_first(self, act: Callable[[Place], T]) -> None:
        act(self._store)
        self._at_each(self._targets, act)

    def _at_each(self, places: Iterable[Place], act: Callable[[Place], T]) -> dict[Place, T]:
        every = list(places)
        return dict(zip(every, self._together([partial(act, p) for p in every]), strict=True))

    def _write(self, places: Iterable[Place], version: UUID) -> None:
        """Write what the store gives its readers, if that is `version`, into sinks."""
        sinks = list(places)
        value = self._read(self._store, Stage.CURRENT, version) if sinks else None
        if value is not None:
            self._at_each(sinks, lambda p: self._sinks[p].write(p.name, value, version))

    def _remove(self, place: Place) -> None:
        state = self._state(place)
        if state is None or state.version is not None:
            self._sinks[place].remove(place.name)

    def _state(self, place: Place) -> SinkState | None:
        return self._sinks[place].inspect(place.name)

    def _current(self, place: Place) -> UUID | None:
        backend = self._places[place]
        if isinstance(backend, Pointing):
            return backend.current(place.name)
        held = backend.versions(place.name)
        return next((one.version for one in held if one.stage is Stage.CURRENT), None)

    def _regained(self, place: Place, version: UUID) -> bool:
        """Whether a place holds a version, be it given back now from the store."""
        if self._holds(place, version):
            return True
        value = self._read(self._store, Stage.CURRENT, version)
        if value is None:
            return False
        self._places[place].stage(place.name, value, version)
        return True

    def _holds(self, place: Place, version: UUID) -> bool:
        return any(one.version == version for one in self._places[place].versions(place.name))

    def _read(self, place: Place, stage: Stage, version: UUID) -> Secret | None:
        try:
            held = self._places[place].read(place.name, stage)
        except SecretNotFound:
            return None
        return held.secret if held.version == version else None


def _holds(state: SinkState, version: UUID) -> bool:
    return state.intact and state.version == version
