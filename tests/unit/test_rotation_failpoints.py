"""The n-th point fails, for n = 0 … until none does; after each, I1 to I7 must hold.

Two ways to fail: the process dies there, and another one takes over; or the call raises, before it
was applied or after it was, with its answer lost.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from credmgr.errors import BackendUnavailable, CredmgrError, OutcomeUnknown, StateUnavailable
from credmgr.model.rotation import State
from credmgr.rotation.engine import Engine
from credmgr.testing.failpoints import Crash, Failpoints, Point
from tests.rotation_world import World, world_in

Scenario = Callable[[World, Engine], None]


def first_secret(world: World, engine: Engine) -> None:
    world.turn(engine)


def rotation(world: World, engine: Engine) -> None:
    world.next_day()
    world.settle(engine)


def rollback(world: World, engine: Engine) -> None:
    world.next_day()
    world.turn(engine)
    world.run(engine, timedelta(minutes=3))
    if world.row and world.row.state is State.OVERLAP:
        world.runbook(engine).rollback(world.credential.name)
    world.settle(engine)


def leak(world: World, engine: Engine) -> None:
    world.runbook(engine).leaked(world.credential.name, lambda _: None)


def retirement(world: World, engine: Engine) -> None:
    world.apply(world.credential.name)
    world.runbook(engine).retire(world.credential.name)
    world.settle(engine)


SCENARIOS: tuple[Scenario, ...] = (first_secret, rotation, rollback, leak, retirement)
BOUND = 200


def raise_error(point: Point) -> None:
    """The error that such a call raises when its answer is lost, or when it was not applied."""
    if point.effect.startswith("ledger"):
        raise StateUnavailable
    if point.effect.startswith("backend"):
        raise BackendUnavailable
    raise OutcomeUnknown


def survive(world: World, scenario: Scenario, points: Failpoints) -> None:
    """One scenario with one failure, the recovery after it, and the invariants."""
    if scenario is not first_secret:
        world.set_up()
    if scenario in (leak, retirement):
        world.consumers.clear()  # whoever still reads a leaked or retired secret must fail
    with suppress(Crash, CredmgrError):
        scenario(world, world.engine(points))
    recover(world)
    assert world.violations() == [], points.reached[-1:]


def recover(world: World) -> None:
    """The next process: after the lease of the dead one has run out, things go on."""
    world.clock.advance(timedelta(minutes=2))
    engine = world.engine()
    row = world.settle(engine)
    if row.state is State.ABORTED:
        world.clock.advance(timedelta(hours=1))
        row = world.settle(engine)
    assert row.state in (State.DONE, State.ABORTED), row


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_a_crash_at_any_point_is_survived(scenario: Scenario, tmp_path: Path) -> None:
    outcomes = []
    for number in range(BOUND):
        folder = tmp_path / str(number)
        folder.mkdir()
        points = Failpoints(at=number)
        with world_in(folder) as world:
            survive(world, scenario, points)
        if not points.dead:
            break
        outcomes.append(str(points.reached[-1]))
    else:
        pytest.fail(f"more than {BOUND} points")
    assert len(outcomes) > 5


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_a_failing_call_at_any_point_is_survived(scenario: Scenario, tmp_path: Path) -> None:
    for number in range(BOUND):
        folder = tmp_path / str(number)
        folder.mkdir()
        points = Failpoints(at=number, react=raise_error)
        with world_in(folder) as world:
            survive(world, scenario, points)
        if len(points.reached) <= number:
            break
    else:
        pytest.fail(f"more than {BOUND} points")


def test_a_second_crash_during_recovery_is_survived(tmp_path: Path) -> None:
    seen = 0
    for first in range(0, BOUND, 3):
        for second in range(0, 30, 4):
            folder = tmp_path / f"{first}-{second}"
            folder.mkdir()
            with world_in(folder) as world:
                world.set_up()
                for at in (first, second):
                    points = Failpoints(at=at)
                    with suppress(Crash):
                        rotation(world, world.engine(points))
                    world.clock.advance(timedelta(minutes=2))
                    seen += points.dead
                recover(world)
                assert world.violations() == [], (first, second)
        if first > len(points.reached) + 30:
            break
    assert seen > 20


def test_a_state_database_that_cannot_be_written_stops_everything_outside(tmp_path: Path) -> None:
    """Disk full, locked, gone: after the failed commit, no call leaves the process."""
    refused = 0
    for number in range(BOUND):
        folder = tmp_path / str(number)
        folder.mkdir()
        points = Failpoints(at=number, react=raise_error)
        with world_in(folder) as world, suppress(StateUnavailable):
            world.turn(world.engine(points))
        if len(points.reached) <= number:
            break
        if points.reached[number].effect in ("ledger.move", "ledger.begin", "ledger.acquire"):
            refused += 1
            assert {one.effect for one in points.reached[number + 1 :]} <= {"ledger.release"}
    assert refused > 10
