"""What people do: manual issuers, imports, decisions, hurry, retirement."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from credmgr.errors import (
    Conflict,
    IssuerUnavailable,
    LeaseHeld,
    NotAllowedNow,
    RotationOpen,
    SecretRejected,
    StateUnavailable,
    UnknownCredential,
)
from credmgr.model.audit import Event
from credmgr.model.credential import CredentialStatus
from credmgr.model.names import Name
from credmgr.model.rotation import Request, Rotation, State, Trigger
from credmgr.model.secret import Secret
from credmgr.model.usage import Usage
from credmgr.model.version import VersionStatus
from credmgr.rotation.engine import Engine
from credmgr.rotation.resolving import Resolution
from credmgr.rotation.work import Supplied
from credmgr.testing.failpoints import Crash, Failpoints, Point, When
from credmgr.testing.memory_issuer import MANUAL_TRAITS, MemoryIssuer
from tests.rotation_world import FIRST, NAME, World, credential, world_in

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        made.set_up()
        made.clock.advance(MINUTE)
        yield made


@pytest.fixture
def manual(tmp_path: Path) -> Iterator[World]:
    """A world whose issuer is a person at a dashboard."""
    with world_in(tmp_path) as made:
        made.issuer = MemoryIssuer(made.clock, traits=MANUAL_TRAITS)
        for consumer in made.consumers:
            consumer.issuer = made.issuer
        yield made


def told(world: World) -> list[str]:
    return [one.body for one in world.store.outbox.open_alerts()]


def bring(world: World) -> Rotation:
    """A person makes a secret with the label that was asked for, and imports it."""
    row = world.row
    issued = world.issuer.supply(world.credential, row.label if row else "by hand")
    return world.runbook().bring(NAME, Supplied(issued.secret, issued.secret_id))


# --- a dashboard


def test_a_manual_rotation_asks_a_person_and_tells_the_owner(manual: World) -> None:
    row = manual.settle(manual.engine())
    assert row.state is State.INTENT
    assert any(row.label in step for step in row.steps)
    assert any(row.label in body for body in told(manual))


def test_an_import_takes_a_manual_rotation_to_its_end(manual: World) -> None:
    engine = manual.engine()
    manual.settle(engine)
    assert bring(manual).state is State.DONE
    manual.next_day()
    manual.settle(engine)
    assert bring(manual).state is State.OVERLAP
    waiting = manual.settle(engine)
    assert waiting.state is State.REVOKING
    assert waiting.steps
    assert waiting.old_secret_id
    manual.issuer.withdraw(waiting.old_secret_id)
    manual.run(engine, timedelta(hours=2), pace=MINUTE * 10)
    assert manual.last.state is State.DONE
    assert manual.violations() == []


def test_a_revocation_that_was_only_claimed_is_not_believed(manual: World) -> None:
    engine = manual.engine()
    manual.settle(engine)
    bring(manual)
    manual.next_day()
    manual.settle(engine)
    bring(manual)
    waiting = manual.settle(engine)
    claimed = manual.runbook().resolve(NAME, Resolution.REVOKED, "I did")
    assert claimed.state is State.REVOKING
    assert claimed.steps
    assert waiting.old_secret_id
    manual.issuer.withdraw(waiting.old_secret_id)
    believed = manual.runbook().resolve(NAME, Resolution.REVOKED, "now really")
    assert believed.state is State.DONE


def test_a_claim_that_nothing_can_prove_is_taken_at_its_word(manual: World) -> None:
    engine = manual.engine()
    manual.settle(engine)
    bring(manual)
    manual.next_day()
    manual.settle(engine)
    bring(manual)
    waiting = manual.settle(engine)
    assert waiting.old_version
    manual.backends[FIRST].discard(manual.credential.store.name, waiting.old_version)
    assert manual.runbook().resolve(NAME, Resolution.REVOKED, "I did").state is State.DONE


def test_a_person_is_reminded_once_a_day(manual: World) -> None:
    engine = manual.engine()
    manual.settle(engine)
    for _ in range(3):
        (before,) = manual.store.outbox.open_alerts()
        manual.run(engine, timedelta(hours=21), pace=MINUTE * 30)
        assert manual.store.outbox.open_alerts() == [before], manual.clock.now()
        manual.run(engine, timedelta(hours=3), pace=MINUTE * 30)
        (again,) = manual.store.outbox.open_alerts()
        assert again.at > before.at


def test_a_wrong_paste_is_told_at_once_and_changes_nothing(manual: World) -> None:
    before = manual.settle(manual.engine())
    with pytest.raises(SecretRejected):
        manual.runbook().bring(NAME, Supplied(Secret("not-it")))
    row = manual.row
    assert row
    assert (row.state, row.attempt) == (State.INTENT, before.attempt)


def test_the_label_stands_for_the_id_that_a_dashboard_does_not_show(manual: World) -> None:
    row = manual.settle(manual.engine())
    issued = manual.issuer.supply(manual.credential, row.label)
    manual.runbook().bring(NAME, Supplied(issued.secret))
    assert [one.secret_id for one in manual.store.ledger.versions(NAME)] == [row.label]


def test_a_brought_secret_that_died_with_the_process_is_an_orphan_that_somebody_hears_of(
    manual: World,
) -> None:
    manual.settle(manual.engine())
    assert manual.row
    issued = manual.issuer.supply(manual.credential, manual.row.label)
    brought = Supplied(issued.secret, issued.secret_id)
    points = Failpoints(at=_point(manual, brought, "backend-first.stage"))
    with pytest.raises(Crash):
        manual.runbook(manual.engine(points)).bring(NAME, brought)
    manual.clock.advance(MINUTE * 2)
    row = manual.settle(manual.engine())
    assert (row.state, row.attempt) == (State.INTENT, 2)
    (orphan,) = manual.store.ledger.versions(NAME)
    assert orphan.status is VersionStatus.ORPHAN
    assert any(issued.secret_id in body for body in told(manual))


def _point(world: World, brought: Supplied, effect: str) -> int:
    """Where an effect comes, counted in a rehearsal that dies just before it."""
    for number in range(50):
        points = Failpoints(at=number)
        with world_in(_fresh(world)) as rehearsal:
            rehearsal.issuer = MemoryIssuer(rehearsal.clock, traits=MANUAL_TRAITS)
            rehearsal.settle(rehearsal.engine())
            again = rehearsal.issuer.supply(rehearsal.credential, "x")
            try:
                rehearsal.runbook(rehearsal.engine(points)).bring(
                    NAME, replace(brought, secret=again.secret)
                )
            except Crash:
                if points.reached[-1].effect == effect:
                    return number
    raise AssertionError(effect)


def _fresh(world: World) -> Path:
    place = Path(str(world.store).split()[-1].rstrip(">")).parent / uuid4().hex
    place.mkdir()
    return place


# --- imports where the issuer could make a secret itself


def test_a_secret_can_be_brought_to_any_credential(world: World) -> None:
    row = bring(world)
    assert (row.state, row.trigger) == (State.OVERLAP, Trigger.IMPORT)
    assert world.settle(world.engine()).state is State.DONE
    assert world.violations() == []


def test_where_the_issuer_lists_its_secrets_the_id_must_be_one_of_them(world: World) -> None:
    issued = world.issuer.supply(world.credential, "by hand")
    for wrong in (None, "another"):
        with pytest.raises(NotAllowedNow, match="by its id") as caught:
            world.runbook().bring(NAME, Supplied(issued.secret, wrong))
        assert issued.secret_id in str(caught.value.hint)
    assert world.row is None


def test_nothing_can_be_brought_to_a_rotation_that_waits_for_nothing(world: World) -> None:
    world.runbook().rotate(NAME)
    world.issuer.traits = replace(world.issuer.traits, max_active=None)
    good = world.issuer.supply(world.credential, "by hand")
    with pytest.raises(NotAllowedNow, match="waits for no secret"):
        world.runbook().bring(NAME, Supplied(good.secret, good.secret_id))


# --- rotations asked for


def test_one_rotation_at_a_time(world: World) -> None:
    world.runbook().rotate(NAME)
    with pytest.raises(RotationOpen):
        world.runbook().rotate(NAME)


def test_an_unknown_credential_is_named(world: World) -> None:
    with pytest.raises(UnknownCredential, match="no/such"):
        world.runbook().rotate(Name("no/such"))
    with pytest.raises(UnknownCredential, match="no/such"):
        world.runbook().rollback(Name("no/such"))


def test_a_retired_credential_is_not_rotated(world: World) -> None:
    world.apply(NAME)
    with pytest.raises(NotAllowedNow, match="retired"):
        world.runbook().rotate(NAME)


def test_a_retired_credential_is_left_as_it_is(world: World) -> None:
    world.apply(NAME)
    assert world.engine().tend(NAME) is None
    assert world.store.ledger.enrolled(NAME).next_due_at is None


def test_a_declared_credential_keeps_its_last_secret(world: World) -> None:
    with pytest.raises(NotAllowedNow, match="active"):
        world.runbook().retire(NAME)


def test_a_credential_without_a_secret_has_none_to_end(tmp_path: Path) -> None:
    with world_in(tmp_path) as fresh:
        fresh.apply(NAME)
        with pytest.raises(NotAllowedNow, match="no live secret"):
            fresh.runbook().retire(NAME)


def test_a_retirement_ends_the_secret_and_the_copies(world: World) -> None:
    world.consumers.clear()
    world.apply(NAME)
    assert world.runbook().retire(NAME).state is State.DONE
    assert world.store.ledger.enrolled(NAME).status is CredentialStatus.REVOKED
    assert world.violations() == []


def test_a_rotation_is_followed_to_its_end(world: World) -> None:
    seen: list[State] = []
    runbook = world.runbook()
    ended = runbook.follow(runbook.rotate(NAME), lambda row: seen.append(row.state))
    assert ended.state is State.DONE
    assert seen[0] is State.OVERLAP
    assert seen[-1] is State.DONE


def test_following_ends_where_a_person_is_asked(manual: World) -> None:
    row = manual.settle(manual.engine())
    assert manual.runbook().follow(row, lambda _: None).state is State.INTENT


def test_the_overlap_can_be_ended_early(world: World) -> None:
    old = world.issuer.live()[0].secret_id
    world.runbook().rotate(NAME)
    assert world.runbook().hurry(NAME).state is State.DONE
    assert old not in {one.secret_id for one in world.issuer.live()}


def test_a_leak_during_a_rotation_ends_the_leaked_secret_too(world: World) -> None:
    old = world.issuer.live()[0].secret_id
    engine = world.engine()
    world.issuer.fail_next("verify", IssuerUnavailable("later"))
    world.runbook(engine).rotate(NAME)
    world.runbook().leaked(NAME, lambda _: None)
    assert old not in {one.secret_id for one in world.issuer.live()}
    assert len(world.issuer.live()) == 1


def test_a_leak_during_an_overlap_ends_both_secrets(world: World) -> None:
    world.runbook().rotate(NAME)
    known = {one.secret_id for one in world.issuer.live()}
    world.runbook().leaked(NAME, lambda _: None)
    assert not known & {one.secret_id for one in world.issuer.live()}


def test_a_leak_that_cannot_be_mended_is_told(world: World) -> None:
    world.runbook().rotate(NAME)
    for _ in range(20):
        world.issuer.fail_next("revoke", IssuerUnavailable("no answer"))
    assert world.runbook().leaked(NAME, lambda _: None).state is State.OPERATOR


# --- rolling back


def test_a_rollback_before_the_promotion_calls_the_rotation_off(world: World) -> None:
    world.issuer.fail_next("verify", IssuerUnavailable("later"))
    world.runbook().rotate(NAME)
    row = world.runbook().rollback(NAME)
    assert row.state is State.ABORTED
    assert "called off" in row.reason
    assert world.violations() == []


def test_a_rollback_after_the_revocation_began_is_refused(world: World) -> None:
    world.issuer.fail_next("disable", IssuerUnavailable("later"))
    world.runbook().rotate(NAME)
    world.runbook().hurry(NAME)
    with pytest.raises(NotAllowedNow, match="too late"):
        world.runbook().rollback(NAME)


def test_a_parked_rotation_can_be_rolled_back(world: World) -> None:
    world.issuer.supply(world.credential, "foreign")
    assert world.runbook().rotate(NAME).state is State.OPERATOR
    assert world.runbook().rollback(NAME).state is State.ABORTED


def test_a_rollback_needs_a_rotation(world: World) -> None:
    with pytest.raises(NotAllowedNow, match="no open rotation"):
        world.runbook().rollback(NAME)
    with pytest.raises(NotAllowedNow, match="no open rotation"):
        world.runbook().resolve(NAME, Resolution.RETRY, "")


def test_a_rollback_of_a_first_secret_leaves_nothing(tmp_path: Path) -> None:
    with world_in(tmp_path) as fresh:
        fresh.backends[FIRST].fail_next("promote", Conflict("somebody"))
        row = fresh.settle(fresh.engine())
        assert row.state is State.ABORTED
        assert fresh.issuer.live() == ()
        assert fresh.current_ids() == []


# --- decisions


@pytest.mark.parametrize("resolution", [Resolution.RETRY, Resolution.CLOSE, Resolution.REVOKED])
def test_a_rotation_that_moves_by_itself_needs_no_decision(
    world: World, resolution: Resolution
) -> None:
    world.runbook().rotate(NAME)
    with pytest.raises(NotAllowedNow):
        world.runbook().resolve(NAME, resolution, "impatience")


def test_an_abort_past_the_point_of_no_return_is_refused(world: World) -> None:
    row = stuck_in_revoking(world)
    assert row.parked_from is State.REVOKING
    with pytest.raises(NotAllowedNow, match="no return"):
        world.runbook().resolve(NAME, Resolution.ABORT, "regret")


def test_a_closed_rotation_leaves_the_unaccounted_secret_on_record(world: World) -> None:
    row = stuck_in_revoking(world)
    closed = world.runbook().resolve(NAME, Resolution.CLOSE, "the vendor says it is dead")
    assert closed.state is State.DONE
    statuses = {one.secret_id: one.status for one in world.store.ledger.versions(NAME)}
    assert statuses[row.old_secret_id or ""] is VersionStatus.ORPHAN


def test_closing_before_the_promotion_aborts(world: World) -> None:
    world.issuer.supply(world.credential, "foreign")
    world.runbook().rotate(NAME)
    assert world.runbook().resolve(NAME, Resolution.CLOSE, "never mind").state is State.ABORTED


def test_a_parked_revocation_can_be_declared_done(world: World) -> None:
    row = stuck_in_revoking(world)
    world.issuer.withdraw(row.old_secret_id or "")
    assert world.runbook().resolve(NAME, Resolution.REVOKED, "by hand").state is State.DONE


def stuck_in_revoking(world: World) -> Rotation:
    for _ in range(8):
        world.issuer.fail_next("revoke", IssuerUnavailable("no answer"))
    world.runbook().rotate(NAME)
    row = world.settle(world.engine())
    assert row.state is State.OPERATOR
    return row


# --- consumers that are seen


def use(world: World, version: str) -> Usage:
    (found,) = [one for one in world.store.ledger.versions(NAME) if one.status == version]
    now = world.clock.now()
    return Usage(Name("billing"), NAME, found.id, frozenset(), now, now, 1)


def test_the_overlap_lasts_while_a_consumer_is_seen_on_the_old_secret(world: World) -> None:
    engine = world.engine()
    world.next_day()
    world.turn(engine)
    world.run(engine, MINUTE * 5)
    world.store.ledger.record_use([use(world, "previous")])
    world.run(engine, MINUTE * 20)
    assert world.row
    assert "still on the old secret: billing" in world.row.waiting
    world.store.ledger.record_use([use(world, "current")])
    world.run(engine, MINUTE * 2)
    assert world.row is None


def test_a_consumer_that_read_before_the_promotion_is_waited_for_too(world: World) -> None:
    engine = world.engine()
    world.next_day()
    world.store.ledger.record_use([use(world, "current")])
    world.turn(engine)
    world.run(engine, MINUTE * 25)
    assert world.row
    assert "still on the old secret: billing" in world.row.waiting
    world.store.ledger.record_use([use(world, "current")])
    world.run(engine, MINUTE * 2)
    assert world.row is None


def test_the_overlap_ends_at_its_ceiling_all_the_same(world: World) -> None:
    engine = world.engine()
    world.next_day()
    world.turn(engine)
    world.run(engine, MINUTE * 5)
    world.store.ledger.record_use([use(world, "previous")])
    world.run(engine, MINUTE * 70)
    assert world.row is None


# --- several hands


def test_a_process_whose_lease_was_taken_writes_nothing_more(world: World) -> None:
    ledger = world.store.ledger
    lease = ledger.acquire(NAME, "frozen", world.clock.now(), MINUTE)
    world.clock.advance(MINUTE * 2)
    world.next_day()
    engine = world.engine()
    world.settle(engine)
    ledger.release(lease)
    assert world.last.state is State.DONE


def test_an_operator_waits_for_a_busy_lease_and_then_gives_up(world: World) -> None:
    world.store.ledger.acquire(NAME, "somebody", world.clock.now(), timedelta(hours=1))
    with pytest.raises(LeaseHeld, match="somebody"):
        world.runbook().rotate(NAME)
    assert world.clock.waits


def test_an_operator_gets_the_lease_when_it_is_given_back(world: World) -> None:
    world.store.ledger.acquire(NAME, "somebody", world.clock.now(), timedelta(seconds=5))
    assert world.runbook().rotate(NAME).state is State.OVERLAP


def test_following_is_safe_while_another_process_is_at_it(world: World) -> None:
    runbook = world.runbook()
    row = runbook.rotate(NAME)
    world.clock.advance(MINUTE * 10)
    world.store.ledger.acquire(NAME, "somebody", world.clock.now(), timedelta(seconds=3))
    assert runbook.follow(row, lambda _: None).state is State.DONE


def test_a_lease_that_cannot_be_given_back_runs_out(world: World) -> None:
    def react(_: object) -> None:
        raise StateUnavailable("the disk is full")

    engine = world.engine(Failpoints(at=2, react=react))
    assert engine.tend(NAME) is None
    world.clock.advance(MINUTE)
    assert world.runbook().rotate(NAME).state is State.OVERLAP


def test_a_stopping_engine_leaves_the_rotation_where_it_is(world: World) -> None:
    world.next_day()
    engine = world.engine()
    engine.stopping.set()
    row = engine.tend(NAME)
    assert row
    assert row.state is State.INTENT
    assert world.settle(world.engine()).state is State.DONE


def test_a_long_rotation_keeps_its_lease(world: World) -> None:
    world.next_day()
    engine = slow_engine(world)
    row = engine.tend(NAME)
    assert row
    assert row.state is State.OVERLAP


def slow_engine(world: World) -> Engine:
    """Every call takes twenty seconds of the lease's sixty."""
    points = Failpoints()
    points.observe = lambda point: (
        world.clock.advance(timedelta(seconds=20)) if point.effect.startswith("backend") else None
    )
    return world.engine(points)


def test_a_declaration_applied_during_a_rotation_is_looked_at_at_once(world: World) -> None:
    world.next_day()
    world.credential = replace(world.credential, description="changed")
    points = Failpoints()

    def apply_once(point: Point) -> None:
        if point == Point("issuer.create", When.BEFORE):
            world.clock.advance(timedelta(seconds=1))
            world.apply()

    points.observe = apply_once
    world.engine(points).tend(NAME)
    assert NAME in world.store.ledger.due(world.clock.now(), 10)


def test_a_wish_written_while_the_owner_works_is_carried_out(world: World) -> None:
    world.next_day()
    engine = world.engine()
    world.turn(engine)
    assert world.row
    event = Event("operator:test", "rotation.requested", NAME)
    world.store.ledger.ask(world.row.id, Request.ROLLBACK, event, world.clock.now())
    assert world.settle(engine).state is State.ABORTED
    assert world.violations() == []


# --- targets declared later


def test_a_target_that_is_declared_later_gets_its_copy(tmp_path: Path) -> None:
    with world_in(tmp_path, targets=()) as world:
        world.set_up()
        world.clock.advance(MINUTE)
        world.credential = replace(world.credential, targets=credential().targets)
        world.apply()
        world.turn(world.engine())
        assert len(set(world.current_ids())) == 1
        assert len(world.current_ids()) == 2
        actions = [one.event.action for one in world.store.audit.records(0, 1000)]
        assert "copies.filled" in actions
        world.next_day()
        assert world.settle(world.engine()).state is State.DONE
        assert world.violations() == []


def test_a_target_that_is_declared_during_an_overlap_gets_its_copy(tmp_path: Path) -> None:
    with world_in(tmp_path, targets=()) as world:
        world.set_up()
        world.next_day()
        engine = world.engine()
        world.turn(engine)
        world.credential = replace(world.credential, targets=credential().targets)
        world.apply()
        assert world.settle(engine).state is State.DONE
        assert len(world.current_ids()) == 2
        assert world.violations() == []


def test_a_rollback_gives_a_copy_back_that_no_longer_keeps_the_old_secret(tmp_path: Path) -> None:
    """As after a repair in the overlap, which leaves a target with the new secret alone."""
    with world_in(tmp_path) as world:
        world.set_up()
        world.next_day()
        engine = world.engine()
        world.turn(engine)
        row, target = world.row, world.credential.targets[0].place
        assert row is not None
        assert row.old_version is not None
        world.backends[target.backend].discard(target.name, row.old_version)
        world.runbook(engine).rollback(NAME)
        assert world.backends[target.backend].read(target.name).version == row.old_version
        assert world.settle(engine).state is State.ABORTED
        assert world.violations() == []
