"""A store that can say when a secret dies says so of whatever its readers see."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest

from credmgr.errors import BackendUnavailable
from credmgr.model.clock import Clock
from credmgr.model.copy import Condition
from credmgr.model.credential import Credential, Drift, Place, Target
from credmgr.model.names import Name
from credmgr.plugins.backend import SecretBackend
from credmgr.plugins.issuer import Issued
from credmgr.testing.failpoints import Failpoints
from credmgr.testing.memory_backend import MemoryBackend
from credmgr.testing.memory_issuer import MemoryIssuer
from tests.rotation_world import FIRST, NAME, SECOND, World, world_in
from tests.unit.test_distribution_moving import mover

LIFE: Final = timedelta(days=90)
THIRD: Final = Name("third")
BEST_EFFORT: Final = Place(THIRD, Name("best-effort/api-key"))
TARGETS: Final = (
    Target(Place(SECOND, NAME)),
    Target(BEST_EFFORT, required=False, drift=Drift.REPAIR),
)


class Dating(MemoryBackend):
    """Says when its current copy dies; a write forgets it, as a new version in a Key Vault does."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.dates: dict[Name, datetime] = {}
        self.down = 0

    def promote(self, name: Name, version: UUID, expect: UUID | None) -> None:
        super().promote(name, version, expect)
        self.dates.pop(name, None)

    def date(self, name: Name, version: UUID, expires_at: datetime) -> None:
        if self.down:
            self.down -= 1
            raise BackendUnavailable("down")
        if self.read(name).version == version:
            self.dates[name] = expires_at


class Mortal(MemoryIssuer):
    """Its secrets die by themselves."""

    def create(self, credential: Credential, label: str) -> Issued:
        issued = super().create(credential, label)
        return replace(issued, expires_at=issued.issued_at + LIFE)


class Bare(Failpoints):
    """Leaves backends as they are, so that they can be asked what they can do."""

    def backend(self, name: str, backend: SecretBackend) -> SecretBackend:  # noqa: ARG002 (as its base)
        return backend


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """After the first secret."""
    with world_in(tmp_path, targets=TARGETS) as made:
        made.issuer = Mortal(made.clock)
        made.backends = {name: Dating(made.clock) for name in (FIRST, SECOND, THIRD)}
        for consumer in made.consumers:
            consumer.issuer = made.issuer
        made.settle(made.engine(Bare()))
        made.keep()
        yield made


def dates(world: World) -> list[datetime | None]:
    """What each place says of the secret there: the store, the target, the best-effort one."""
    places = {place.backend: place.name for place in world.credential.places}
    found = {name: backend for name, backend in world.backends.items() if name in places}
    return [one.dates.get(places[name]) for name, one in found.items() if isinstance(one, Dating)]


def issued(world: World) -> list[datetime]:
    """When each secret dies, the newest first."""
    found = world.store.ledger.versions(NAME)
    return [one.expires_at for one in found if one.expires_at is not None]


def test_every_copy_of_the_first_secret_says_when_it_dies(world: World) -> None:
    assert dates(world) == issued(world) * 3


def test_after_a_rollback_they_say_it_of_the_old_secret(world: World) -> None:
    (old,) = issued(world)
    world.next_day()
    engine = world.engine(Bare())
    world.turn(engine)
    world.keep()
    new = issued(world)[0]
    assert dates(world) == [new] * 3 != [old] * 3

    world.runbook(engine).rollback(NAME)
    assert dates(world)[:2] == [old] * 2
    world.keep()
    assert dates(world) == [old] * 3


@pytest.mark.parametrize("rotating", [True, False])
def test_a_copy_that_is_filled_says_it(world: World, *, rotating: bool) -> None:
    engine = world.engine(Bare())
    if rotating:
        world.next_day()
        world.turn(engine)
    second = world.backends[SECOND]
    assert isinstance(second, Dating)
    second.delete(NAME)
    second.dates.clear()

    if rotating:
        world.run(engine, timedelta(minutes=11))
    else:
        world.store.ledger.postpone(NAME, world.clock.now())
        world.turn(engine)

    assert dates(world)[1] == issued(world)[0]


def test_a_best_effort_copy_that_could_not_say_it_says_it_at_the_next_look(world: World) -> None:
    world.next_day()
    world.turn(world.engine(Bare()))
    third = world.backends[THIRD]
    assert isinstance(third, Dating)
    third.down = 1

    assert world.keep()[THIRD].condition is Condition.UNREACHABLE
    assert dates(world)[2] is None
    world.clock.advance(timedelta(minutes=16))
    world.keep()

    assert dates(world)[2] == issued(world)[0]


def test_a_copy_that_is_repaired_says_it(world: World) -> None:
    third = world.backends[THIRD]
    assert isinstance(third, Dating)
    third.delete(BEST_EFFORT.name)
    third.dates.clear()
    world.clock.advance(timedelta(minutes=16))

    world.keep()

    assert dates(world) == issued(world) * 3


def test_a_store_that_was_moved_to_says_it(world: World) -> None:
    fourth = Dating(world.clock)
    world.backends[Name("fourth")] = fourth
    new = Place(Name("fourth"), NAME)

    mover(world, Bare()).move(NAME, new)

    assert [fourth.dates.get(NAME)] == issued(world)
