"""What the backend contract's checks do again and again."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID, uuid4

from credmgr.errors import SecretNotFound
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import Pointing, SecretBackend

Reopen = Callable[[], SecretBackend]
"""Opens a second session with the same store."""
Plant = Callable[[Name], Callable[[], object]]
"""Puts something without credmgr's mark under a name, and gives what looks at it."""


def staged(backend: SecretBackend, name: Name, value: str) -> UUID:
    """Stage a value as a new version, and give the version."""
    version = uuid4()
    backend.stage(name, Secret(value), version)
    return version


def promoted(backend: SecretBackend, name: Name, value: str, *, expect: UUID | None = None) -> UUID:
    """Stage and promote a value as a new version, and give the version."""
    version = staged(backend, name, value)
    backend.promote(name, version, expect)
    return version


def full(backend: SecretBackend, name: Name) -> dict[Stage, str]:
    """Put something at every stage, and give the values."""
    first = promoted(backend, name, "first")
    promoted(backend, name, "second", expect=first)
    staged(backend, name, "third")
    return {Stage.PREVIOUS: "first", Stage.CURRENT: "second", Stage.NEXT: "third"}


def everything(backend: SecretBackend, name: Name) -> dict[Stage, tuple[UUID, str]]:
    """What a reader finds at each stage."""
    found: dict[Stage, tuple[UUID, str]] = {}
    for stage in Stage:
        with suppress(SecretNotFound):
            held = backend.read(name, stage)
            found[stage] = (held.version, held.secret.reveal())
    return found


def stages(backend: SecretBackend, name: Name) -> dict[Stage, UUID]:
    """Which version a reader finds at each stage; what tells of versions must say the same.

    A backend may drop a superseded version or list it under no stage.
    """
    found = {stage: version for stage, (version, _) in everything(backend, name).items()}
    listed = {held.stage: held.version for held in backend.versions(name) if held.stage}
    assert listed == found
    if isinstance(backend, Pointing):
        assert backend.current(name) == found.get(Stage.CURRENT)
    return found


def every_change(backend: SecretBackend, name: Name) -> Sequence[Callable[[], None]]:
    """A call of each method that changes a name."""
    version = uuid4()
    return (
        partial(backend.stage, name, Secret("value"), version),
        partial(backend.promote, name, version, None),
        partial(backend.discard, name, version),
        partial(backend.delete, name),
    )
