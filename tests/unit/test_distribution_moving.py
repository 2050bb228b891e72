"""A store moves with what lives in it, and whatever cuts the move off, nothing is lost."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest

from credmgr.distribution.moving import Ledger, Moved, Mover
from credmgr.errors import (
    BackendUnavailable,
    Conflict,
    CredmgrError,
    LeaseHeld,
    NotAllowedNow,
    RotationOpen,
    SecretRejected,
)
from credmgr.model.credential import Place, Target
from credmgr.model.names import Name
from credmgr.model.rotation import State
from credmgr.model.secret import Secret
from credmgr.opening import store_as_applied
from credmgr.plugins.backend import SecretBackend
from credmgr.plugins.issuer import Issuer
from credmgr.rotation.resolving import Resolution
from credmgr.rotation.runbook import Runbook
from credmgr.testing.failpoints import Crash, Failpoints
from credmgr.testing.memory_backend import MemoryBackend
from tests.rotation_world import FINGERPRINTER, FIRST, MINUTE, NAME, SECOND, World, world_in

THIRD = Name("third")
OLD, NEW = Place(FIRST, NAME), Place(THIRD, Name("moved/api-key"))
BOUND = 60


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        made.set_up()
        made.backends[THIRD] = MemoryBackend(made.clock)
        yield made


class Outside:
    """The sessions, each effect passing by the failpoints."""

    def __init__(self, world: World, points: Failpoints) -> None:
        self.backends: dict[Name, SecretBackend] = {
            name: points.backend(name, backend) for name, backend in world.backends.items()
        }
        self._issuer = points.issuer(world.issuer)

    def issuer(self, credential: object) -> Issuer:
        del credential
        return self._issuer


def mover(world: World, points: Failpoints | None = None) -> Mover:
    points = points or Failpoints()
    ledger = cast("Ledger", points.watch(world.store.ledger, "ledger", frozenset({"rehome"})))
    rotations, outside = Runbook(world.engine()), Outside(world, points)
    return Mover(ledger, world.store.audit, outside, rotations, FINGERPRINTER, "operator:test")


def value(world: World, place: Place) -> Secret:
    return world.backends[place.backend].read(place.name).secret


def store(world: World) -> Place:
    return world.store.ledger.enrolled(NAME).credential.store


def test_the_secret_is_in_the_new_store_and_the_old_copy_stays(world: World) -> None:
    before = value(world, OLD)
    moved = mover(world).move(NAME, NEW)
    assert (moved.old, moved.new, moved.left) == (OLD, NEW, (OLD,))
    assert store(world) == NEW
    assert value(world, NEW) == value(world, OLD) == before
    actions = [one.event.action for one in world.store.audit.records(0, 1000, NAME)]
    assert actions[-1] == "credential.moved"


def test_the_next_rotation_reads_and_writes_the_new_store(world: World) -> None:
    mover(world).move(NAME, NEW)
    world.credential = replace(world.credential, store=NEW)
    world.next_day()
    old = value(world, OLD)
    world.consumers.clear()  # those of the old place have been told to move
    assert world.settle(world.engine()).state is State.DONE
    assert value(world, NEW) != old
    assert value(world, OLD) == old
    assert world.issuer.accepts(value(world, NEW))


def test_what_was_moved_already_is_left_alone(world: World) -> None:
    mover(world).move(NAME, NEW)
    calls = len(world.backends[THIRD].calls)
    assert mover(world).move(NAME, NEW) == Moved(NEW, NEW, (), (OLD,))
    assert len(world.backends[THIRD].calls) == calls


def test_the_old_copy_is_deleted_when_told_and_only_then(world: World) -> None:
    mover(world).move(NAME, NEW)
    assert mover(world).finish(NAME) == (OLD,)
    assert world.backends[FIRST].versions(OLD.name) == []
    assert mover(world).finish(NAME) == ()


def test_an_old_store_that_is_a_target_now_is_not_deleted(world: World) -> None:
    mover(world).move(NAME, NEW)
    targets = (*world.credential.targets, Target(OLD))
    world.credential = replace(world.credential, store=NEW, targets=targets)
    world.apply()
    assert mover(world).finish(NAME) == ()
    assert value(world, OLD) == value(world, NEW)


def test_a_target_may_become_the_store(world: World) -> None:
    target = world.credential.targets[0].place
    moved = mover(world).move(NAME, target)
    assert moved.new == target
    credential = world.store.ledger.enrolled(NAME).credential
    assert (credential.store.backend, len(credential.targets)) == (SECOND, 1)
    assert value(world, target) == value(world, OLD)


def test_no_store_moves_while_a_rotation_is_on_its_way(world: World) -> None:
    world.next_day()
    world.turn(world.engine())
    for act in (lambda: mover(world).move(NAME, NEW), lambda: mover(world).finish(NAME)):
        with pytest.raises(RotationOpen, match="moves only between two"):
            act()
    assert store(world) == OLD


def test_two_do_not_move_it_at_once(world: World) -> None:
    with world.engine().leased(NAME), pytest.raises(LeaseHeld):
        mover(world).move(NAME, NEW)


def test_without_a_secret_there_is_nothing_to_move(tmp_path: Path) -> None:
    with world_in(tmp_path) as fresh:
        fresh.backends[THIRD] = MemoryBackend(fresh.clock)
        with pytest.raises(NotAllowedNow, match="no secret to move"):
            mover(fresh).move(NAME, NEW)


def test_an_old_store_that_was_changed_moves_nowhere(world: World) -> None:
    other = UUID(int=7)
    version = world.backends[FIRST].read(NAME).version
    world.backends[FIRST].stage(NAME, Secret("somebody else's"), other)
    world.backends[FIRST].promote(NAME, other, expect=version)
    with pytest.raises(Conflict, match="does not hold the current secret"):
        mover(world).move(NAME, NEW)
    assert world.backends[THIRD].versions(NEW.name) == []


def test_an_old_store_that_is_empty_moves_nowhere(world: World) -> None:
    world.backends[FIRST].delete(NAME)
    with pytest.raises(Conflict, match="does not hold the current secret"):
        mover(world).move(NAME, NEW)


def test_a_name_that_holds_something_else_is_not_taken(world: World) -> None:
    other = UUID(int=7)
    world.backends[THIRD].stage(NEW.name, Secret("another credential's"), other)
    world.backends[THIRD].promote(NEW.name, other, expect=None)
    with pytest.raises(Conflict, match="none of"):
        mover(world).move(NAME, NEW)
    assert store(world) == OLD


def test_a_secret_that_does_not_log_in_from_there_is_not_switched_to(world: World) -> None:
    world.issuer.fail_next("verify", SecretRejected("401"))
    with pytest.raises(SecretRejected):
        mover(world).move(NAME, NEW)
    assert store(world) == OLD


def test_a_backend_that_gives_back_something_else_is_not_switched_to(world: World) -> None:
    class Forgetful(MemoryBackend):
        def promote(self, name: Name, version: UUID, expect: UUID | None) -> None:
            super().promote(name, version, expect)
            self.delete(name)

    world.backends[THIRD] = Forgetful(world.clock)
    with pytest.raises(Conflict, match="does not give back"):
        mover(world).move(NAME, NEW)
    assert store(world) == OLD


def test_a_secret_that_is_dead_moves_nowhere(world: World) -> None:
    world.next_day()
    engine = world.engine()
    world.turn(engine)
    row = world.row
    assert row is not None
    world.settle(engine)
    assert mover(world).move(NAME, NEW).versions == (row.new_version,)


def survive(world: World, points: Failpoints) -> None:
    """One move with one failure in it, then the same command again."""
    with suppress(Crash, CredmgrError):
        mover(world, points).move(NAME, NEW)
    world.live("after a move was cut off")
    assert store(world) in (OLD, NEW)
    assert value(world, store(world)) == value(world, OLD)
    world.clock.advance(2 * MINUTE)
    mover(world).move(NAME, NEW)
    assert store(world) == NEW
    assert world.issuer.accepts(value(world, NEW))
    assert world.violations() == []


def unavailable(point: object) -> None:
    raise BackendUnavailable(str(point))


@pytest.mark.parametrize("how", ["crash", "error"])
def test_a_move_that_is_cut_off_anywhere_is_just_begun_anew(how: str, tmp_path: Path) -> None:
    for number in range(BOUND):
        folder = tmp_path / str(number)
        folder.mkdir()
        points = Failpoints(at=number) if how == "crash" else Failpoints(number, unavailable)
        with world_in(folder) as world:
            world.set_up()
            world.backends[THIRD] = MemoryBackend(world.clock)
            survive(world, points)
        if len(points.reached) <= number:
            assert number > 5
            return
    pytest.fail(f"more than {BOUND} points")


def test_the_secret_before_moves_too_while_it_lives(world: World) -> None:
    """As after `credmgr resolve --close`, which ends a rotation and revokes nothing."""
    world.next_day()
    engine = world.engine()
    world.turn(engine)
    row, target = world.row, world.credential.targets[0].place
    assert row is not None
    other = UUID(int=7)
    world.backends[SECOND].stage(target.name, Secret("somebody else's"), other)
    world.backends[SECOND].promote(target.name, other, expect=row.new_version)
    assert world.settle(engine).state is State.OPERATOR
    world.runbook(engine).resolve(NAME, Resolution.CLOSE, "a test")
    assert mover(world).move(NAME, NEW).versions == (row.old_version, row.new_version)
    assert value(world, NEW) == value(world, OLD)


def test_whoever_reads_through_credmgr_never_fails_meanwhile(world: World) -> None:
    """With the manifest changed already, and at every effect of the move."""
    declared = replace(world.credential, store=NEW)
    store_of, logins = store_as_applied(world.store.ledger), list[bool]()

    def read(point: object) -> None:
        del point
        logins.append(world.issuer.accepts(value(world, store_of(declared))))

    mover(world, Failpoints(observe=read)).move(NAME, NEW)
    mover(world, Failpoints(observe=read)).finish(NAME)
    assert len(logins) == 12
    assert all(logins)


def test_a_credential_that_is_not_applied_yet_is_read_where_it_is_declared(world: World) -> None:
    new = replace(world.credential, name=Name("caseforge/another"), store=NEW)
    assert store_as_applied(world.store.ledger)(new) == NEW
