"""The keeper: every copy is brought up, watched, mended, and told of, each in its own time."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from credmgr.distribution.keeper import Care
from credmgr.errors import AccessDenied, BackendUnavailable
from credmgr.model.copy import Condition
from credmgr.model.credential import Drift, Place, Target
from credmgr.model.finding import Severity
from credmgr.model.names import Name
from credmgr.model.rotation import State
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from tests.rotation_world import FILE, FIRST, NAME, SECOND, World, world_in

DAY = timedelta(days=1)
LOOK = timedelta(minutes=16)
FOREIGN = Secret("what somebody else wrote")


def targets(*, required: bool = True, drift: Drift = Drift.REPORT) -> tuple[Target, ...]:
    return (
        Target(Place(SECOND, Name("copy/api-key")), required, drift),
        Target(Place(FILE, NAME), required, drift),
    )


@pytest.fixture
def optional(tmp_path: Path) -> Iterator[World]:
    """A world whose targets are best-effort, after the first secret."""
    with world_in(tmp_path, targets=targets(required=False)) as world:
        world.set_up()
        yield world


def repaired(folder: Path, drift: Drift = Drift.REPAIR) -> "World":
    world = world_in(folder, targets=targets(drift=drift)).__enter__()
    world.set_up()
    world.keep()
    return world


def value_in(world: World, backend: Name) -> Secret | None:
    if backend == FILE:
        return world.sinks[FILE].value(NAME)
    place = next(p for p in world.credential.places if p.backend == backend)
    return world.backends[backend].read(place.name).secret


def open_findings(world: World) -> dict[str, Severity]:
    return {one.key: one.severity for one in world.store.ledger.findings(open_only=True)}


def conditions(world: World) -> dict[str, Condition]:
    return {one.place.backend: one.condition for one in world.store.copies.everything()}


def overwrite(world: World, backend: Name = SECOND, secret: Secret = FOREIGN) -> None:
    """Somebody writes another version into a store by our own way, as an old database would."""
    place = next(p for p in world.credential.places if p.backend == backend)
    session, version = world.backends[backend], uuid4()
    held = session.read(place.name).version
    session.stage(place.name, secret, version)
    session.promote(place.name, version, expect=held)


# --- best-effort targets


def test_a_rotation_does_not_touch_a_best_effort_target(optional: World) -> None:
    assert optional.sinks[FILE].value(NAME) is None
    assert optional.backends[SECOND].versions(Name("copy/api-key")) == []


def test_the_keeper_brings_it_up(optional: World) -> None:
    found = optional.keep()

    assert {one.condition for one in found.values()} == {Condition.CURRENT}
    assert value_in(optional, FILE) == value_in(optional, SECOND) == value_in(optional, FIRST)


def test_after_a_rotation_it_gets_the_new_secret_and_keeps_no_old_one(optional: World) -> None:
    optional.keep()
    optional.next_day()
    engine = optional.engine()
    optional.turn(engine)
    assert value_in(optional, SECOND) != value_in(optional, FIRST)

    optional.keep()
    assert value_in(optional, SECOND) == value_in(optional, FIRST) == value_in(optional, FILE)
    optional.settle(engine)
    optional.keep()

    held = optional.backends[SECOND].versions(Name("copy/api-key"))
    assert [one.stage for one in held] == [Stage.CURRENT]


def test_the_old_secret_lives_until_a_late_target_has_the_new_one(optional: World) -> None:
    optional.keep()
    optional.next_day()
    engine = optional.engine()
    optional.run(engine, timedelta(minutes=30))  # the overlap's minimum is 10 minutes
    assert optional.row is not None
    assert optional.row.state is State.OVERLAP
    assert "second:copy/api-key" in optional.row.waiting

    optional.keep()
    optional.run(engine, timedelta(minutes=3))

    assert optional.last.state is State.DONE


def test_the_ceiling_of_the_overlap_waits_for_no_best_effort_target(optional: World) -> None:
    optional.keep()
    optional.next_day()

    optional.run(optional.engine(), timedelta(hours=2))

    assert optional.last.state is State.DONE


def test_a_best_effort_target_that_is_down_stops_nothing_and_is_tried_again(
    optional: World,
) -> None:
    second = optional.backends[SECOND]
    second.fail_next("versions", BackendUnavailable("down", retry_after=timedelta(minutes=5)))
    second.fail_next("read", BackendUnavailable("down", retry_after=timedelta(minutes=5)))

    found = optional.keep()

    assert found[SECOND].condition is Condition.UNREACHABLE
    assert found[FILE].condition is Condition.CURRENT
    assert optional.store.copies.claim(optional.clock.now() + timedelta(minutes=4), 9, DAY) == ()
    optional.clock.advance(timedelta(minutes=6))
    optional.backends[SECOND]._failures.clear()
    assert optional.keep()[SECOND].condition is Condition.CURRENT


def test_a_refusal_is_told_at_once_and_an_outage_after_three_tries(optional: World) -> None:
    for number in range(1, 4):
        optional.backends[SECOND].fail_next("read", BackendUnavailable("down"))
        optional.keep()
        keys = [key for key in open_findings(optional) if key.startswith("copy/")]
        assert len(keys) == (number == 3)
        optional.clock.advance(timedelta(minutes=20))
    optional.keep()
    assert open_findings(optional) == {}

    optional.clock.advance(LOOK)
    optional.backends[SECOND].fail_next("read", AccessDenied("no permission to read"))
    assert optional.keep()[SECOND].condition is Condition.REFUSED
    (key,) = open_findings(optional)
    assert key == f"copy/{NAME}/second/copy/api-key"


def test_a_rollback_takes_best_effort_targets_back_too(optional: World) -> None:
    optional.keep()
    before = value_in(optional, FIRST)
    optional.next_day()
    engine = optional.engine()
    optional.turn(engine)
    optional.keep()
    assert value_in(optional, FILE) != before

    optional.runbook().rollback(NAME)
    optional.keep()

    assert value_in(optional, FILE) == value_in(optional, SECOND) == before
    optional.settle(engine)
    optional.keep()
    assert conditions(optional) == dict.fromkeys((FIRST, SECOND, FILE), Condition.CURRENT)


def test_a_revoked_credential_leaves_nothing_anywhere(optional: World) -> None:
    optional.keep()
    optional.apply(NAME)
    optional.runbook().retire(NAME)
    optional.settle(optional.engine())

    optional.keep()

    assert optional.sinks[FILE].value(NAME) is None
    assert optional.backends[SECOND].versions(Name("copy/api-key")) == []
    assert optional.store.copies.of(NAME) == []


# --- drift


def test_an_untouched_copy_is_left_alone(tmp_path: Path) -> None:
    world = repaired(tmp_path)
    world.backends[SECOND].calls.clear()
    world.clock.advance(LOOK)

    world.keep()

    assert {method for method, _ in world.backends[SECOND].calls} == {"read"}


def test_a_changed_copy_is_reported_and_not_touched(tmp_path: Path) -> None:
    world = repaired(tmp_path, Drift.REPORT)
    overwrite(world)
    world.sinks[FILE].tamper(NAME, FOREIGN)
    world.clock.advance(LOOK)

    found = world.keep()

    assert {found[SECOND].condition, found[FILE].condition} == {Condition.DRIFTED}
    assert value_in(world, SECOND) == value_in(world, FILE) == FOREIGN
    (subject,) = world.store.ledger.subjects([NAME])
    assert set(subject.drifted) == {"second:copy/api-key", f"file:{NAME}"}
    assert open_findings(world) == {
        f"drift/{NAME}/second/copy/api-key": Severity.CRITICAL,
        f"drift/{NAME}/file/{NAME}": Severity.CRITICAL,
    }


@pytest.mark.parametrize("what", ["changed", "deleted", "rolled back"])
def test_a_copy_that_is_to_be_repaired_is_once(tmp_path: Path, what: str) -> None:
    world = repaired(tmp_path)
    right = value_in(world, FIRST)
    drifts = {
        "changed": lambda: overwrite(world),
        "deleted": lambda: world.backends[SECOND].delete(Name("copy/api-key")),
        "rolled back": lambda: overwrite(world, secret=Secret("an older one")),
    }
    drifts[what]()
    world.clock.advance(LOOK)

    assert world.keep()[SECOND].condition is Condition.CURRENT
    assert value_in(world, SECOND) == right
    assert open_findings(world) == {}

    overwrite(world)
    world.clock.advance(LOOK)
    again = world.keep()[SECOND]
    assert again.condition is Condition.DRIFTED
    assert "again after it was repaired" in again.reason
    assert open_findings(world) == {f"drift/{NAME}/second/copy/api-key": Severity.CRITICAL}


def test_a_repair_a_day_later_is_another_incident(tmp_path: Path) -> None:
    world = repaired(tmp_path)
    for _ in range(2):
        world.sinks[FILE].tamper(NAME, None)
        world.clock.advance(LOOK)
        assert world.keep()[FILE].condition is Condition.CURRENT
        world.clock.advance(timedelta(hours=12))
        world.keep()
        world.clock.advance(timedelta(hours=13))


def test_a_person_may_have_anything_repaired(tmp_path: Path) -> None:
    world = repaired(tmp_path, Drift.REPORT)
    right = value_in(world, FIRST)
    overwrite(world, FIRST)
    world.clock.advance(LOOK)
    assert world.keep()[FIRST].condition is Condition.DRIFTED

    world.clock.advance(LOOK)
    world.keep(Care(repairs=True))

    assert value_in(world, FIRST) == right  # from one of the other copies
    assert open_findings(world) == {}


def test_a_look_that_writes_nothing_writes_nothing(optional: World) -> None:
    found = optional.keep(Care(writes=False))

    assert found[FILE].condition is found[SECOND].condition is Condition.BEHIND
    assert optional.sinks[FILE].value(NAME) is None
    assert optional.keep()[FILE].condition is Condition.CURRENT  # it was due at once


def test_a_copy_may_become_the_new_secret_everywhere(tmp_path: Path) -> None:
    world = repaired(tmp_path, Drift.IMPORT)
    made = world.issuer.create(world.credential, "made by hand")
    overwrite(world, SECOND, made.secret)
    world.clock.advance(LOOK)

    world.keep()
    world.settle(world.engine())
    world.keep()

    assert value_in(world, FIRST) == value_in(world, SECOND) == value_in(world, FILE) == made.secret
    assert conditions(world) == dict.fromkeys((FIRST, SECOND, FILE), Condition.CURRENT)
    assert world.violations() == []


def test_what_does_not_log_in_is_not_imported(tmp_path: Path) -> None:
    world = repaired(tmp_path, Drift.IMPORT)
    overwrite(world)
    world.clock.advance(LOOK)

    found = world.keep()[SECOND]

    assert found.condition is Condition.DRIFTED
    assert "cannot be imported" in found.reason
    assert FOREIGN.reveal() not in found.reason
    assert value_in(world, SECOND) == FOREIGN


def test_a_required_copy_is_left_alone_while_a_rotation_moves(tmp_path: Path) -> None:
    world = repaired(tmp_path)
    world.next_day()
    engine = world.engine()
    engine.stopping.set()
    world.turn(engine)
    assert world.row is not None
    overwrite(world)

    world.keep()

    assert value_in(world, SECOND) == FOREIGN


# --- whose turn it is


def test_one_copy_is_in_one_pair_of_hands(optional: World) -> None:
    first = optional.keeper().claim(100)
    assert len(first) == 3
    assert optional.keeper().claim(100) == ()
    assert optional.keeper().claim_of(NAME) == []

    optional.clock.advance(timedelta(minutes=3))
    assert len(optional.keeper().claim(100)) == 3  # whoever had them has died


def test_what_was_woken_during_a_look_is_looked_at_again(optional: World) -> None:
    keeper = optional.keeper()
    claimed = keeper.claim(100)
    optional.next_day()
    optional.turn(optional.engine())  # promotes, and so wakes the copies

    for copy in claimed:
        keeper.tend(copy)

    assert len(keeper.claim(100)) == 3


def test_copies_that_are_declared_no_more_are_forgotten(optional: World) -> None:
    keeper = optional.keeper()
    claimed = keeper.claim(100)
    optional.credential = replace(optional.credential, targets=())
    optional.apply()

    for copy in claimed:
        keeper.tend(copy)

    assert [one.place.backend for one in optional.store.copies.everything()] == [FIRST]
