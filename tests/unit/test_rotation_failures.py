"""What a rotation does about each kind of error."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from credmgr.errors import (
    AccessDenied,
    BackendUnavailable,
    Conflict,
    InvalidAnswer,
    IssuerRefused,
    IssuerUnavailable,
    NoFreeSlot,
    OutcomeUnknown,
    ScopeRefused,
    SecretRejected,
)
from credmgr.model.credential import Credential, Retry
from credmgr.model.rotation import State
from credmgr.model.secret import Secret
from credmgr.model.version import VersionStatus
from credmgr.plugins.issuer import Issued, Proof
from credmgr.rotation.failures import backoff
from credmgr.rotation.resolving import Resolution
from credmgr.testing.memory_issuer import MANY_TRAITS, MemoryIssuer
from tests.rotation_world import FIRST, NAME, SECOND, World, world_in

HOUR = timedelta(hours=1)
SECOND_LONG = timedelta(seconds=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        made.set_up()
        made.next_day()
        yield made


def alerts(world: World) -> list[str]:
    return [one.title for one in world.store.outbox.open_alerts()]


def test_an_issuer_that_is_down_is_asked_again_with_growing_pauses(world: World) -> None:
    for _ in range(4):
        world.issuer.fail_next("list", IssuerUnavailable("no answer"))
    engine, pauses = world.engine(), []
    for _ in range(4):
        world.turn(engine)
        assert world.row
        pauses.append(world.row.not_before - world.clock.now())
        world.clock.advance(pauses[-1])
    assert pauses == [SECOND_LONG / 2, SECOND_LONG, SECOND_LONG * 2, SECOND_LONG * 4]
    assert world.settle(engine).state is State.DONE
    assert world.violations() == []


@pytest.mark.parametrize(
    ("asked", "waits"),
    [(timedelta(minutes=30), timedelta(minutes=30)), (timedelta(days=9), HOUR)],
)
def test_retry_after_is_obeyed_but_not_for_ever(
    world: World, asked: timedelta, waits: timedelta
) -> None:
    world.issuer.fail_next("list", IssuerUnavailable("429", retry_after=asked))
    world.turn(world.engine())
    assert world.row
    assert world.row.not_before - world.clock.now() == waits


@pytest.mark.parametrize("asked", [None, timedelta(), timedelta(seconds=-5)])
def test_a_retry_after_that_asks_nothing_changes_nothing(
    world: World, asked: timedelta | None
) -> None:
    world.issuer.fail_next("list", IssuerUnavailable("429", retry_after=asked))
    world.turn(world.engine())
    assert world.row
    assert world.row.not_before - world.clock.now() == SECOND_LONG / 2


def test_a_refusal_is_repeated_slowly_and_then_parked_with_one_alert(world: World) -> None:
    for _ in range(9):
        world.issuer.fail_next("create", IssuerRefused("this application is locked"))
    engine = world.engine()
    row = world.settle(engine)
    assert row.state is State.OPERATOR
    assert row.parked_from is State.INTENT
    assert "this application is locked (5 times in a row)" in row.reason
    assert sum("needs an operator" in one for one in alerts(world)) == 1
    world.run(engine, timedelta(days=2), pace=HOUR)
    assert sum("needs an operator" in one for one in alerts(world)) == 1
    assert len(world.issuer.live()) == 1
    assert [f for one in world.consumers for f in one.failures] == []


def test_garbage_from_the_issuer_is_parked_after_the_bound(world: World) -> None:
    for _ in range(20):
        world.issuer.fail_next("list", InvalidAnswer("HTML instead of JSON"))
    assert world.settle(world.engine()).state is State.OPERATOR


def test_a_parked_rotation_goes_on_when_an_operator_says_so(world: World) -> None:
    for _ in range(8):
        world.issuer.fail_next("list", IssuerUnavailable("no answer"))
    engine = world.engine()
    assert world.settle(engine).state is State.OPERATOR
    world.runbook().resolve(NAME, Resolution.RETRY, "the issuer is back")
    assert world.settle(engine).state is State.DONE
    assert world.violations() == []


def test_an_unknown_outcome_uses_an_attempt_and_leaves_no_orphan(world: World) -> None:
    world.issuer.fail_next("create", OutcomeUnknown("timed out"), "after")
    row = world.settle(world.engine())
    assert (row.state, row.attempt) == (State.DONE, 2)
    assert world.violations() == []
    statuses = [one.status for one in world.store.ledger.versions(NAME)]
    assert VersionStatus.ORPHAN not in statuses


def test_three_unknown_outcomes_abort_the_rotation(world: World) -> None:
    for _ in range(3):
        world.issuer.fail_next("create", OutcomeUnknown("timed out"), "after")
    row = world.settle(world.engine())
    assert (row.state, row.attempt) == (State.ABORTED, 3)
    assert "3 attempts are used up" in row.reason
    assert world.violations() == []


def test_an_aborted_rotation_is_tried_again_an_hour_later(world: World) -> None:
    for _ in range(3):
        world.issuer.fail_next("create", OutcomeUnknown("timed out"))
    engine = world.engine()
    aborted = world.settle(engine)
    assert aborted.state is State.ABORTED
    world.run(engine, timedelta(minutes=50))
    assert world.last.id == aborted.id
    world.run(engine, timedelta(minutes=40))
    assert world.last.id != aborted.id
    assert world.last.state is State.DONE
    assert world.violations() == []


def test_no_free_slot_is_for_an_operator_at_once(world: World) -> None:
    foreign = world.issuer.supply(world.credential, "foreign")
    engine = world.engine()
    row = world.settle(engine)
    assert row.state is State.OPERATOR
    assert foreign.secret_id in row.reason
    world.issuer.withdraw(foreign.secret_id)
    world.runbook().resolve(NAME, Resolution.RETRY, "freed")
    assert world.settle(engine).state is State.DONE


def test_the_issuer_may_say_itself_that_no_slot_is_free(world: World) -> None:
    world.issuer.fail_next("create", NoFreeSlot())
    assert world.settle(world.engine()).state is State.OPERATOR


def test_a_target_that_denies_access_stops_the_rotation_with_nothing_changed(world: World) -> None:
    before = world.current_ids()
    world.backends[SECOND].fail_next("stage", AccessDenied("403"))
    row = world.settle(world.engine())
    assert row.state is State.ABORTED
    assert world.current_ids() == before
    assert world.violations() == []
    assert any("aborted" in one for one in alerts(world))


def test_a_backend_that_stays_down_aborts_before_anything_is_promoted(world: World) -> None:
    for _ in range(8):
        world.backends[FIRST].fail_next("stage", BackendUnavailable("no answer"))
    assert world.settle(world.engine()).state is State.ABORTED
    assert world.violations() == []


def test_a_copy_changed_by_somebody_else_aborts_and_keeps_consumers_alive(world: World) -> None:
    world.backends[SECOND].fail_next("promote", Conflict("another version"))
    row = world.settle(world.engine())
    assert row.state is State.ABORTED
    assert "somebody else changed a copy" in row.reason
    assert world.violations() == []


def test_a_place_with_a_foreign_version_is_not_rotated_over(world: World) -> None:
    place = world.credential.store
    foreign = world.issuer.supply(world.credential, "foreign")
    engine = world.engine()
    backend = world.backends[FIRST]
    version = backend.versions(place.name)[0].version
    other = type(version)(int=7)
    backend.stage(place.name, foreign.secret, other)
    backend.promote(place.name, other, expect=version)
    row = world.settle(engine)
    assert row.state is State.OPERATOR
    assert "does not call current" in row.reason
    assert len(world.issuer.live()) == 2


def test_a_copy_that_lost_what_was_staged_aborts(world: World) -> None:
    engine = world.engine()
    world.issuer.fail_next("verify", IssuerUnavailable("later"))
    world.turn(engine)
    assert world.row
    assert world.row.state is State.STAGED
    place = world.credential.targets[0].place
    world.backends[SECOND].discard(place.name, world.row.new_version)
    assert world.settle(engine).state is State.ABORTED
    assert "does not hold what was staged" in world.last.reason
    assert world.violations() == []


def test_a_copy_that_drifts_during_the_overlap_keeps_the_old_secret_alive(world: World) -> None:
    engine = world.engine()
    world.turn(engine)
    assert world.row
    old = world.row.old_version
    place = world.credential.targets[0].place
    assert old
    world.backends[SECOND].promote(place.name, old, expect=world.row.new_version)
    row = world.settle(engine)
    assert row.state is State.OPERATOR
    assert str(place) in row.reason
    assert len(world.issuer.live()) == 2
    world.backends[SECOND].promote(place.name, row.new_version, expect=old)
    world.runbook().resolve(NAME, Resolution.RETRY, "put back")
    assert world.settle(engine).state is State.DONE
    assert world.violations() == []


def test_a_copy_that_drifts_in_the_last_moment_keeps_the_old_secret_alive(world: World) -> None:
    engine = world.engine()
    world.turn(engine)
    world.issuer.fail_next("disable", IssuerUnavailable("later"))
    world.run(engine, timedelta(minutes=10), pace=timedelta(minutes=5))
    assert world.row
    assert world.row.state is State.REVOKING
    old, place = world.row.old_version, world.credential.targets[0].place
    assert old
    world.backends[SECOND].promote(place.name, old, expect=world.row.new_version)
    assert world.settle(engine).state is State.OPERATOR
    assert len(world.issuer.live()) == 2


def test_a_new_secret_without_the_declared_scopes_is_thrown_away(world: World) -> None:
    world.issuer.fail_next("verify", ScopeRefused("cases:read is not granted"))
    row = world.settle(world.engine())
    assert row.state is State.ABORTED
    assert "lacks scopes" in row.reason
    assert world.violations() == []


def slow(world: World, propagation: timedelta) -> World:
    """The same world with an issuer that needs time to spread a secret."""
    traits = replace(MANY_TRAITS, propagation=propagation)
    world.issuer = MemoryIssuer(world.clock, traits=traits)
    for consumer in world.consumers:
        consumer.issuer = world.issuer
    return world


def test_a_secret_that_spreads_slowly_is_waited_for_and_proven_three_times(tmp_path: Path) -> None:
    with world_in(tmp_path) as fresh:
        world = slow(fresh, timedelta(seconds=45))
        row = world.settle(world.engine())
        assert row.state is State.DONE
        assert row.proofs == 3
        world.next_day()
        assert world.settle(world.engine()).state is State.DONE
        assert world.violations() == []


def test_a_secret_that_is_never_accepted_is_given_up(tmp_path: Path) -> None:
    with world_in(tmp_path) as fresh:
        world = slow(fresh, timedelta(hours=2))
        row = world.settle(world.engine(), timedelta(hours=1, minutes=30))
        assert row.state in (State.ABORTED, State.OPERATOR)
        assert world.current_ids() == []


class Forgetful(MemoryIssuer):
    """An issuer whose login servers do not hear of a revocation."""

    deaf = False

    def verify(self, credential: Credential, secret: Secret) -> Proof:
        return Proof(None) if self.deaf else super().verify(credential, secret)


def test_a_revoked_secret_that_is_still_accepted_is_for_an_operator(tmp_path: Path) -> None:
    with world_in(tmp_path) as world:
        world.issuer = issuer = Forgetful(world.clock)
        for consumer in world.consumers:
            consumer.issuer = issuer
        world.set_up()
        world.next_day()
        engine = world.engine()
        world.turn(engine)
        issuer.deaf = True
        row = world.settle(engine)
        assert row.state is State.OPERATOR
        assert "still accepted" in row.reason
        issuer.deaf = False
        world.runbook().resolve(NAME, Resolution.RETRY, "it has spread")
        assert world.settle(engine).state is State.DONE
        assert world.violations() == []


def test_urgency_rises_as_the_expiry_of_the_old_secret_nears() -> None:
    policy, error = Retry(), IssuerUnavailable()
    far = backoff(policy, 10, error, timedelta(days=30))
    near = backoff(policy, 10, error, timedelta(minutes=5))
    assert far == timedelta(seconds=512)
    assert near == timedelta(seconds=30)
    assert backoff(policy, 99, error, None) == policy.ceiling


def test_a_refusal_waits_longer_than_a_transport_failure() -> None:
    policy = Retry()
    assert backoff(policy, 1, IssuerRefused(), None) == timedelta(minutes=1)
    assert backoff(policy, 30, IssuerRefused(), None) == HOUR


class Odd(MemoryIssuer):
    """An issuer that has no way to disable, shows scopes, and ends its secrets by itself."""

    shown: frozenset[str] | None = None
    slow_to_forget = False

    def create(self, credential: Credential, label: str) -> Issued:
        issued = super().create(credential, label)
        return replace(issued, expires_at=issued.issued_at + timedelta(days=3))

    def verify(self, credential: Credential, secret: Secret) -> Proof:
        try:
            super().verify(credential, secret)
        except SecretRejected:
            if not self.slow_to_forget:
                raise
            self.slow_to_forget = False
            raise ScopeRefused("it still logs in, with no scope") from None
        return Proof(self.shown)


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        made.issuer = Odd(made.clock, traits=replace(MANY_TRAITS, disables=False))
        for consumer in made.consumers:
            consumer.issuer = made.issuer
        made.set_up()
        yield made


def test_scopes_that_a_login_shows_must_be_those_declared(odd: World) -> None:
    assert isinstance(odd.issuer, Odd)
    odd.issuer.shown = frozenset({"cases:write"})
    odd.next_day()
    row = odd.settle(odd.engine())
    assert row.state is State.ABORTED
    assert "lacks the scopes cases:read" in row.reason
    assert odd.violations() == []


def test_a_revocation_that_spreads_slowly_is_waited_for_without_disabling(odd: World) -> None:
    assert isinstance(odd.issuer, Odd)
    odd.next_day()
    odd.issuer.slow_to_forget = True
    assert odd.settle(odd.engine()).state is State.DONE
    assert odd.violations() == []


def test_retries_are_quick_while_the_old_secret_is_about_to_end(odd: World) -> None:
    odd.next_day()
    odd.clock.advance(timedelta(days=2) - timedelta(minutes=5))
    for _ in range(7):
        odd.issuer.fail_next("list", IssuerUnavailable("no answer"))
    engine, began = odd.engine(), odd.clock.now()
    for _ in range(7):
        odd.turn(engine)
        assert odd.row
        odd.clock.advance(odd.row.not_before - odd.clock.now())
    assert odd.clock.now() - began < timedelta(minutes=3)


def test_a_new_secret_that_is_slow_to_die_holds_the_abort_open(odd: World) -> None:
    assert isinstance(odd.issuer, Odd)
    odd.next_day()
    odd.backends[SECOND].fail_next("promote", Conflict("somebody"))
    odd.issuer.slow_to_forget = True
    assert odd.settle(odd.engine()).state is State.ABORTED
    assert odd.violations() == []
