"""The overlap ends when every consumer that was seen has moved, never before its minimum."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from credmgr.broker.broker import Broker
from credmgr.model.consumer import Consumer, Grant, Readable
from credmgr.model.credential import Credential
from credmgr.model.names import Name
from credmgr.model.rotation import State
from credmgr.model.version import Stage
from credmgr.plugins.backend import Held
from credmgr.plugins.issuer import Issuer
from tests.rotation_world import FIRST, NAME, World, world_in

BILLING = Name("billing")
CONSUMER = Consumer(BILLING, "payments", (Grant(NAME, frozenset({Readable.SECRET})),))
MINUTE = timedelta(minutes=1)


@dataclass
class Outside:
    """What the broker sees of the world."""

    world: World

    def issuer(self, credential: Credential) -> Issuer:
        del credential
        return self.world.issuer

    def held(self, credential: Credential, stage: Stage) -> Held:
        return self.world.backends[FIRST].read(credential.store.name, stage)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        made.set_up()
        yield made


@pytest.fixture
def broker(world: World) -> Iterator[Broker]:
    outside = Outside(world)
    made = Broker(world.store.ledger, outside, world.clock, lambda: 0.5, "daemon@test")
    made.adopt({NAME: world.credential}, {BILLING: CONSUMER}, outside)
    yield made
    made.close()


def read(broker: Broker) -> None:
    broker.secret(BILLING, NAME)
    broker.flush()


def test_a_consumer_on_the_old_secret_holds_the_overlap_until_it_reads_the_new_one(
    world: World, broker: Broker
) -> None:
    read(broker)
    world.next_day()
    engine = world.engine()
    world.run(engine, 20 * MINUTE)  # twice the minimum
    assert world.row is not None
    assert world.row.state is State.OVERLAP
    assert world.row.waiting == "still on the old secret: billing"

    read(broker)
    world.run(engine, 2 * MINUTE)

    assert world.last.state is State.DONE


def test_the_minimum_holds_though_everybody_has_moved(world: World, broker: Broker) -> None:
    read(broker)
    world.next_day()
    engine = world.engine()
    world.turn(engine)
    read(broker)

    world.run(engine, 9 * MINUTE)
    assert world.row is not None
    assert world.row.state is State.OVERLAP

    world.run(engine, 2 * MINUTE)
    assert world.last.state is State.DONE


def test_the_maximum_ends_it_though_somebody_never_came_back(world: World, broker: Broker) -> None:
    read(broker)
    world.next_day()

    engine = world.engine()
    world.run(engine, timedelta(minutes=58))
    assert world.row is not None
    world.run(engine, 4 * MINUTE)

    assert world.last.state is State.DONE
