"""Writing one copy: what its readers should get, where it stands."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from uuid import UUID

from credmgr.distribution.dating import date
from credmgr.distribution.ports import Outside
from credmgr.errors import BackendError, BackendUnavailable, CorruptSecret, SecretNotFound
from credmgr.model.credential import Credential, Place
from credmgr.model.secret import Fingerprinter, Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import Mending, SecretBackend


class Pen:
    """Writes copies. Each call may be repeated. Thread-safe."""

    def __init__(self, outside: Outside, fingerprinter: Fingerprinter) -> None:
        self._outside, self._fingerprinter = outside, fingerprinter

    def value(
        self, credential: Credential, version: UUID, fingerprints: Mapping[UUID, str], but: Place
    ) -> Secret:
        """The value of a version from whichever copy has it unharmed, the store first.

        Args:
            credential: Whose it is.
            version: Which one.
            fingerprints: Of the credential's versions.
            but: The place that is to be written, and so is not asked.

        Raises:
            BackendUnavailable: None can give it now.
        """
        why = ""
        for place in self._sources(credential, but):
            try:
                held = self._outside.backends[place.backend].read(place.name)
            except BackendError as error:
                why = why or error.message
                continue
            if held.version == version and self._intact(held.secret, fingerprints.get(version)):
                return held.secret
        raise BackendUnavailable(
            f"no copy of {credential.name} gives the current secret" + (f": {why}" if why else "")
        )

    def write(self, place: Place, secret: Secret, version: UUID) -> None:
        """Make it what readers get, over what credmgr wrote earlier.

        Raises:
            BackendError: It is not so, or somebody else's version is there.
        """
        if place.backend in self._outside.sinks:
            self._outside.sinks[place.backend].write(place.name, secret, version)
        else:
            _replace(self._outside.backends[place.backend], place, secret, version)

    def mend(self, place: Place, secret: Secret, version: UUID) -> None:
        """Make it what readers get, whatever somebody made of it since.

        Raises:
            BackendError: It is not so, or the place as a whole is somebody else's.
        """
        if place.backend in self._outside.sinks:
            # Not removed first: its readers would find nothing for a moment.
            self._outside.sinks[place.backend].write(place.name, secret, version)
            return
        backend = self._outside.backends[place.backend]
        if isinstance(backend, Mending):
            backend.mend(place.name, secret, version)
            return
        try:
            _replace(backend, place, secret, version)
        except CorruptSecret:
            backend.delete(place.name)
            _replace(backend, place, secret, version)

    def date(self, place: Place, version: UUID, expires_at: datetime | None) -> None:
        """Note when it dies by itself, where a store can say so.

        Raises:
            BackendError: The store does not take it.
        """
        if place.backend not in self._outside.sinks:
            date(self._outside.backends[place.backend], place, version, expires_at)

    def tidy(self, place: Place) -> None:
        """Destroy what is not current in a store, once no rotation needs it."""
        if place.backend in self._outside.sinks:
            return
        backend = self._outside.backends[place.backend]
        for held in backend.versions(place.name):
            if held.stage is not Stage.CURRENT:
                backend.discard(place.name, held.version)

    def remove(self, place: Place) -> None:
        """Take the copy away."""
        if place.backend in self._outside.sinks:
            self._outside.sinks[place.backend].remove(place.name)
        else:
            self._outside.backends[place.backend].delete(place.name)

    def salvage(self, place: Place) -> Secret:
        """What readers see now, whoever wrote it.

        Raises:
            SecretNotFound: They see nothing, or the place cannot be read.
            CorruptSecret: It is no value.
        """
        if place.backend in self._outside.sinks:
            raise SecretNotFound(f"{place} is only written to, so nothing can be imported")
        backend = self._outside.backends[place.backend]
        if isinstance(backend, Mending):
            return backend.salvage(place.name)
        return backend.read(place.name).secret

    def _sources(self, credential: Credential, but: Place) -> Iterator[Place]:
        for place in credential.places:
            if place != but and place.backend not in self._outside.sinks:
                yield place

    def _intact(self, secret: Secret, fingerprint: str | None) -> bool:
        return fingerprint is None or self._fingerprinter.of(secret) == fingerprint


def _replace(backend: SecretBackend, place: Place, secret: Secret, version: UUID) -> None:
    held = backend.versions(place.name)
    current = next((one.version for one in held if one.stage is Stage.CURRENT), None)
    if current != version:
        backend.stage(place.name, secret, version)
        backend.promote(place.name, version, expect=current)
