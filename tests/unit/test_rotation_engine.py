"""The rotation as a whole, against a fake issuer and fake stores."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from credmgr.model.rotation import State, Trigger
from credmgr.model.version import VersionStatus
from tests.rotation_world import OVERLAP, World, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        yield made


def test_a_new_credential_gets_its_first_secret(world: World) -> None:
    world.set_up()
    assert world.last.state is State.DONE
    assert world.last.trigger is Trigger.FIRST
    assert len(world.issuer.live()) == 1
    assert world.violations() == []


def test_a_due_credential_is_rotated_and_no_consumer_notices(world: World) -> None:
    world.set_up()
    before = world.issuer.live()[0].secret_id
    world.next_day()
    assert world.settle(world.engine()).state is State.DONE
    (after,) = world.issuer.live()
    assert after.secret_id != before
    assert world.violations() == []
    assert min(consumer.logins for consumer in world.consumers) > 10


def test_the_old_secret_lives_for_the_whole_overlap(world: World) -> None:
    world.set_up()
    world.next_day()
    engine = world.engine()
    world.turn(engine)
    row = world.row
    assert row
    assert row.state is State.OVERLAP
    world.run(engine, OVERLAP.minimum - timedelta(minutes=1))
    assert len(world.issuer.live()) == 2
    world.run(engine, timedelta(minutes=2))
    assert len(world.issuer.live()) == 1


def test_the_journal_tells_the_whole_story(world: World) -> None:
    world.set_up()
    world.next_day()
    world.settle(world.engine())
    moves = [
        entry.state for entry in world.store.ledger.journal(world.last.id) if entry.event == "moved"
    ]
    assert moves == [
        State.CREATED,
        State.STAGED,
        State.VERIFIED,
        State.OVERLAP,
        State.REVOKING,
        State.DONE,
    ]


def test_a_rollback_goes_back_to_the_old_secret_and_no_consumer_notices(world: World) -> None:
    world.set_up()
    before = world.issuer.live()[0].secret_id
    world.next_day()
    engine = world.engine()
    world.turn(engine)
    world.run(engine, timedelta(minutes=5))
    world.runbook().rollback(world.credential.name)
    world.settle(engine)
    assert world.last.state is State.ABORTED
    assert [one.secret_id for one in world.issuer.live()] == [before]
    assert world.violations() == []


def test_a_leaked_secret_is_dead_when_the_command_returns(world: World) -> None:
    world.set_up()
    (leaked,) = world.issuer.live()
    ended = world.runbook().leaked(world.credential.name, lambda _: None)
    assert ended.state is State.DONE
    assert leaked.secret_id not in {one.secret_id for one in world.issuer.live()}


def test_a_retired_credential_keeps_its_secret_until_it_is_revoked(world: World) -> None:
    world.set_up()
    world.apply(world.credential.name)
    world.run(world.engine(), timedelta(days=3), pace=timedelta(hours=1))
    assert len(world.issuer.live()) == 1
    world.runbook().retire(world.credential.name)
    assert world.issuer.live() == ()
    assert world.last.state is State.DONE
    statuses = [one.status for one in world.store.ledger.versions(world.credential.name)]
    assert statuses == [VersionStatus.REVOKED]
