"""What is current is never revoked, whatever a restored database, a repeat or a person says."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from credmgr.errors import AccessDenied, IssuerUnavailable, NotAllowedNow
from credmgr.model.rotation import Rotation, State
from credmgr.model.version import VersionStatus
from credmgr.rotation.resolving import Resolution
from credmgr.rotation.work import Supplied
from credmgr.store import open_store
from credmgr.testing.clock import FakeClock
from credmgr.testing.failpoints import Failpoints, Point, When
from credmgr.testing.memory_issuer import MANUAL_TRAITS, MemoryIssuer
from tests.rotation_world import FIRST, NAME, World, world_in

MINUTE = timedelta(minutes=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        made.set_up()
        made.clock.advance(MINUTE)
        yield made


def accepted(world: World) -> bool:
    """Whether what the store shows its readers logs in."""
    return world.issuer.accepts(world.backends[FIRST].read(world.credential.store.name).secret)


def test_the_present_secret_cannot_be_brought_again(world: World) -> None:
    (current,) = world.issuer.live()
    value = world.backends[FIRST].read(world.credential.store.name).secret
    with pytest.raises(NotAllowedNow, match="known already"):
        world.runbook().bring(NAME, Supplied(value, current.secret_id))
    assert world.row is None


def test_nor_can_another_value_under_its_id(world: World) -> None:
    (current,) = world.issuer.live()
    other = world.issuer.supply(world.credential, "foreign")
    with pytest.raises(NotAllowedNow, match="of another value"):
        world.runbook().bring(NAME, Supplied(other.secret, current.secret_id))


def test_a_dashboard_secret_that_nobody_asked_for_must_be_named(tmp_path: Path) -> None:
    with world_in(tmp_path) as world:
        world.issuer = MemoryIssuer(world.clock, traits=MANUAL_TRAITS)
        issued = world.issuer.supply(world.credential, "local-dev")
        with pytest.raises(NotAllowedNow, match="its name") as caught:
            world.runbook().bring(NAME, Supplied(issued.secret))
        assert "--secret-id" in str(caught.value.hint)
        ended = world.runbook().bring(NAME, Supplied(issued.secret, "local-dev"))
        assert ended.state is State.DONE


def test_a_rotation_never_revokes_its_own_new_secret(world: World) -> None:
    world.runbook().rotate(NAME)
    row = world.row
    assert row
    with world.store.ledger._database.write() as tx:
        tx.connection.exec_driver_sql("UPDATE rotations SET old_secret_id = new_secret_id")
    ended = world.settle(world.engine())
    assert ended.state is State.OPERATOR
    assert "new secret as well" in ended.reason
    assert accepted(world)


# --- a parked rollback


def parked_rollback(world: World) -> Rotation:
    """Rolled back; consumers are on the old secret again; the new one could not be revoked."""
    engine = world.engine()
    world.runbook(engine).rotate(NAME)
    for _ in range(9):
        world.issuer.fail_next("revoke", IssuerUnavailable("no answer"))
    world.runbook(engine).rollback(NAME)
    row = world.settle(engine)
    assert row.state is State.OPERATOR
    assert row.parked_from is State.ABORTING
    return row


def test_a_parked_rollback_goes_on_rolling_back(world: World) -> None:
    (old,) = world.issuer.live()
    parked_rollback(world)
    world.issuer._faults.clear()
    world.runbook().resolve(NAME, Resolution.RETRY, "the issuer is back")
    assert world.settle(world.engine()).state is State.ABORTED
    assert [one.secret_id for one in world.issuer.live()] == [old.secret_id]
    assert world.violations() == []


def test_a_closed_rollback_leaves_the_old_secret_current_for_good(world: World) -> None:
    (old,) = world.issuer.live()
    row = parked_rollback(world)
    world.issuer._faults.clear()
    closed = world.runbook().resolve(NAME, Resolution.CLOSE, "the vendor is gone")
    assert closed.state is State.ABORTED
    statuses = {one.secret_id: one.status for one in world.store.ledger.versions(NAME)}
    assert statuses[old.secret_id] is VersionStatus.CURRENT
    assert statuses[row.new_secret_id or ""] is VersionStatus.ORPHAN
    world.clock.advance(timedelta(days=1))
    assert world.settle(world.engine()).state is State.DONE
    assert accepted(world)
    assert world.violations() == []


def test_a_store_that_fails_while_pointers_go_back_is_retried_as_an_abort(world: World) -> None:
    engine = world.engine()
    world.runbook(engine).rotate(NAME)
    world.backends[FIRST].fail_next("promote", AccessDenied("403"))
    world.runbook(engine).rollback(NAME)
    assert world.settle(engine).state is State.OPERATOR
    world.runbook().resolve(NAME, Resolution.RETRY, "permitted again")
    assert world.settle(world.engine()).state is State.ABORTED
    assert world.violations() == []


# --- a state database from a backup


@pytest.mark.parametrize("state", [State.CREATED, State.STAGED, State.VERIFIED])
def test_a_database_from_the_middle_of_a_rotation_revokes_nothing(
    tmp_path: Path, state: State
) -> None:
    clock, backup = FakeClock(), tmp_path / "backup.db"
    with opened(tmp_path / "state.db", clock) as world:
        world.set_up()
        world.next_day()
        points = Failpoints()

        def copy(point: Point) -> None:
            moved = point == Point("ledger.move", When.AFTER) and world.row
            if moved and moved.state is state and not backup.exists():
                _backup(tmp_path / "state.db", backup)

        points.observe = copy
        world.turn(world.engine(points))
        world.run(world.engine(), timedelta(minutes=30))
        assert world.row is None
        issuer, backends = world.issuer, world.backends
    assert backup.exists()
    with opened(backup, clock) as restored:
        restored.issuer, restored.backends = issuer, backends
        restored.settle(restored.engine())
        assert accepted(restored)
        assert len(issuer.live()) == 1
        if restored.row:
            restored.runbook().resolve(NAME, Resolution.CLOSE, "restored")
        assert accepted(restored)
        current = [
            one
            for one in restored.store.ledger.versions(NAME)
            if one.status is VersionStatus.CURRENT
        ]
        assert [one.secret_id for one in current] == [issuer.live()[0].secret_id]


def _backup(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)
    target.chmod(0o600)


@contextmanager
def opened(file: Path, clock: FakeClock) -> Iterator[World]:
    """A world over a database file."""
    with open_store(
        f"sqlite:///{file}", clock=clock, audit_key=b"a" * 32, owner="test", migrate=True
    ) as store:
        yield World(store, clock)


# --- alerts and leases


def test_an_alert_that_is_true_no_more_is_withdrawn(world: World) -> None:
    for _ in range(8):
        world.issuer.fail_next("list", IssuerUnavailable("503"))
    world.runbook().rotate(NAME)
    engine = world.engine()
    assert world.settle(engine).state is State.OPERATOR
    assert world.store.outbox.open_alerts()
    world.runbook().resolve(NAME, Resolution.RETRY, "it is back")
    world.settle(engine)
    assert world.store.outbox.open_alerts() == []


def test_the_lease_of_a_process_that_is_gone_is_taken_at_once(world: World) -> None:
    world.store.ledger.acquire(NAME, "host/1/dead#1", world.clock.now(), timedelta(hours=1))
    engine = world.engine()
    engine.tools = replace(engine.tools, is_gone=lambda owner: owner == "host/1/dead#1")
    assert world.runbook(engine).rotate(NAME).state is State.OVERLAP
    assert world.clock.waits == []


def test_a_rollback_that_comes_too_late_is_no_success(world: World) -> None:
    runbook = world.runbook()
    runbook.rotate(NAME)
    world.clock.advance(timedelta(minutes=10))
    points = Failpoints()
    late = world.runbook(world.engine(points))
    open_row = late._open

    def slow(name: object) -> Rotation:
        row = open_row(NAME)
        del name
        world.issuer.fail_next("disable", IssuerUnavailable("later"))
        world.turn(world.engine())
        return row

    late._open = slow  # type: ignore[method-assign]
    with pytest.raises(NotAllowedNow, match="too late"):
        late.rollback(NAME)
