"""What is at a place now, and what follows from it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

from credmgr.distribution.copies import Opened
from credmgr.errors import AccessDenied, CorruptSecret, NotOurs, SecretNotFound
from credmgr.model.copy import Copy
from credmgr.model.credential import Place
from credmgr.model.names import Name
from credmgr.model.secret import Fingerprinter
from credmgr.plugins.backend import Glancing, SecretBackend
from credmgr.plugins.sink import Sink


@dataclass(frozen=True, slots=True)
class Seen:
    """What readers find at a place.

    Attributes:
        version: The version; None when nothing of ours is there.
        whole: Whether it is as credmgr wrote it.
        token: What tells that it is still so, next time; empty where nothing does.
    """

    version: UUID | None
    whole: bool = True
    token: str = ""


class Verdict(Enum):
    """What follows."""

    GOOD = auto()
    """It is what it should be."""
    BRING = auto()
    """It is ours and of another time, or nothing yet: write it."""
    DRIFTED = auto()
    """Somebody has been at it."""


class Eyes:
    """Looks at places. Thread-safe.

    Args:
        backends: Sessions with stores.
        sinks: Sessions with what is only written to.
        fingerprinter: Tells equal values.
    """

    def __init__(
        self,
        backends: Opened[SecretBackend],
        sinks: Opened[Sink],
        fingerprinter: Fingerprinter,
    ) -> None:
        self._backends, self._sinks = backends, sinks
        self._fingerprinter = fingerprinter

    def look(self, copy: Copy, fingerprints: Mapping[UUID, str], *, deep: bool = False) -> Seen:
        """What is there now; a value is read only where nothing else tells, or when `deep`.

        Args:
            copy: Which one, as last known.
            fingerprints: Of the credential's versions.
            deep: Whether to read the value even if nothing seems to have changed.

        Raises:
            BackendError: The place does not tell.
        """
        if copy.place.backend in self._sinks:
            return self._inspected(copy)
        backend, name = self._backends[copy.place.backend], copy.place.name
        try:
            token = _glance(backend, name)
            if token and token == copy.token and not deep:
                return Seen(copy.version, token=token)
            held = backend.read(name)
        except SecretNotFound:
            return Seen(None)
        except (CorruptSecret, NotOurs):
            return Seen(None, whole=False)
        known = fingerprints.get(held.version)
        same = known is None or self._fingerprinter.of(held.secret) == known
        return Seen(held.version, same, token)

    def _inspected(self, copy: Copy) -> Seen:
        state = self._sinks[copy.place.backend].inspect(copy.place.name)
        if state is None:
            return Seen(copy.version)  # it cannot look back: what was written there counts
        return Seen(state.version, state.intact or state.version is None)


def _glance(backend: SecretBackend, name: Name) -> str:
    """What metadata tell; nothing where the backend has none, or does not let us see them."""
    if not isinstance(backend, Glancing):
        return ""
    try:
        return backend.glance(name)
    except AccessDenied:
        return ""


def judged(
    copy: Copy, seen: Seen, wanted: UUID | None, known: Collection[UUID]
) -> tuple[Verdict, str]:
    """What follows from what was seen, with the reason for a person.

    Args:
        copy: As last known.
        seen: As it is now.
        wanted: What its readers should get; None when nothing.
        known: The ids of the credential's versions.
    """
    if seen.whole and seen.version == wanted:
        return Verdict.GOOD, ""
    ours = seen.version in known
    if (seen.whole or copy.version is None) and seen.version == copy.version:
        return Verdict.BRING, "it holds an earlier secret" if ours else "it holds nothing yet"
    if ours and seen.whole and copy.version is None:
        return Verdict.BRING, "it holds an earlier secret"
    return Verdict.DRIFTED, _how(seen, ours=ours)


def _how(seen: Seen, *, ours: bool) -> str:
    if not seen.whole:
        return "it was changed by somebody else"
    if seen.version is None:
        return "it was deleted or disabled by somebody else"
    if ours:
        return f"it was put back to version {seen.version} by somebody else"
    return f"it holds version {seen.version}, which credmgr never wrote"


def where(place: Place) -> str:
    """A place as the key of a finding has it."""
    return f"{place.backend}/{place.name}"
