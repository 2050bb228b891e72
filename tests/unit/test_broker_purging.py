"""Tokens gone everywhere: asked by one process, done and confirmed by every live one."""

from datetime import timedelta

import pytest

from credmgr.broker.purging import LIVE, PATIENCE, Purged, Purger, purge
from credmgr.model.names import Name
from credmgr.store.heartbeats import Heartbeat
from tests.broker_world import NAME, World


def sign(world: World, owner: str, ago: timedelta = timedelta()) -> Heartbeat:
    now = world.clock.now()
    return Heartbeat(owner, "host", 1, "0", now, now - ago)


def ask(world: World, gone: str = "") -> Purged:
    return purge(world, NAME, "operator", world.clock, lambda owner: owner == gone)


def test_with_no_daemon_there_is_nobody_to_wait_for() -> None:
    world = World()
    assert ask(world) == Purged((), ())
    assert [event.action for event in world.events] == ["tokens.purged"]
    assert not world.clock.waits


def test_a_daemon_that_has_dropped_them_is_named() -> None:
    world = World(signs=[])
    world.signs = [sign(world, "me")]
    world.receipts = {(1, "me")}
    assert ask(world) == Purged(("me",), ())


def test_one_that_says_nothing_is_named_after_the_bound() -> None:
    world = World()
    world.signs = [sign(world, "hung")]
    assert ask(world) == Purged((), ("hung",))
    assert world.clock.monotonic() >= PATIENCE


@pytest.mark.parametrize("gone", ["ended", ""])
def test_one_that_lives_no_more_is_not_waited_for(gone: str) -> None:
    world = World()
    world.signs = [sign(world, "ended", timedelta() if gone else LIVE)]
    assert ask(world, gone) == Purged((), ())


def test_each_wish_is_done_once_and_confirmed() -> None:
    world, dropped = World(), list[Name]()
    purger = Purger(world, dropped.append)
    assert purger.turn() == 0
    ask(world)
    assert purger.turn() == 1
    assert dropped == [NAME]
    assert world.receipts == {(1, "me")}
    assert purger.turn() == 0
