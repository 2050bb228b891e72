"""Crashes, lost answers, time and operators in any order: the invariants hold all the same."""

import logging
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from credmgr.errors import (
    BackendUnavailable,
    Conflict,
    CredmgrError,
    IssuerUnavailable,
    LeaseHeld,
    OutcomeUnknown,
    StateUnavailable,
    UsageError,
)
from credmgr.model.rotation import State
from credmgr.rotation.resolving import Resolution
from credmgr.testing.failpoints import Crash, Failpoints, Point
from tests.rotation_world import NAME, World, world_in

POINTS = st.integers(min_value=0, max_value=60)
ERRORS = st.sampled_from(["transport", "unknown", "conflict"])


class RotationMachine(RuleBasedStateMachine):
    """One credential with everything that can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        self.stack = ExitStack()
        fast = Path("/dev/shm")  # noqa: S108 (only to be quick; fsync is another test's concern)
        folder = tempfile.mkdtemp(dir=fast if fast.is_dir() else None)
        self.stack.callback(shutil.rmtree, folder)
        self.world: World = self.stack.enter_context(world_in(Path(folder)))
        self.engine = self.world.engine()

    @rule()
    def a_tick(self) -> None:
        self.world.turn(self.engine)

    @rule(point=POINTS)
    def a_tick_in_which_the_process_dies(self, point: int) -> None:
        with suppress(Crash, StateUnavailable):
            self.world.turn(self.world.engine(Failpoints(at=point)))
        self.engine = self.world.engine()

    @rule(point=POINTS, kind=ERRORS)
    def a_tick_in_which_a_call_fails(self, point: int, kind: str) -> None:
        with suppress(StateUnavailable):
            self.world.turn(self.world.engine(Failpoints(point, _raising(kind))))

    @rule(minutes=st.sampled_from([1, 5, 11, 70, 60 * 24]))
    def time_passes(self, minutes: int) -> None:
        for _ in range(min(minutes, 30)):
            self.world.clock.advance(timedelta(minutes=minutes) / min(minutes, 30))
            self.world.live("while time passes")

    @rule()
    def an_operator_rotates(self) -> None:
        with suppress(UsageError, LeaseHeld):
            self.world.runbook().rotate(NAME)

    @rule()
    def an_operator_rolls_back(self) -> None:
        with suppress(UsageError, LeaseHeld):
            self.world.runbook().rollback(NAME)

    @rule()
    def an_operator_ends_the_overlap(self) -> None:
        with suppress(UsageError, LeaseHeld):
            self.world.runbook().hurry(NAME)

    @rule(how=st.sampled_from([Resolution.RETRY, Resolution.ABORT]))
    def an_operator_resolves(self, how: Resolution) -> None:
        with suppress(UsageError, LeaseHeld):
            self.world.runbook().resolve(NAME, how, "a test")

    @rule()
    def it_is_retired(self) -> None:
        self.world.apply(NAME)

    @rule()
    def it_is_declared_again(self) -> None:
        self.world.apply()

    @precondition(lambda self: self.world.issuer.live())
    @rule()
    def somebody_makes_a_secret_of_their_own(self) -> None:
        with suppress(CredmgrError):
            foreign = self.world.issuer.supply(self.world.credential, "foreign")
            self.world.issuer.withdraw(foreign.secret_id)

    @invariant()
    def no_consumer_has_failed(self) -> None:
        assert [f for one in self.world.consumers for f in one.failures] == []

    def teardown(self) -> None:
        structlog.reset_defaults()
        try:
            self._come_to_rest()
            assert self.world.violations() == []
        finally:
            self.stack.close()

    def _come_to_rest(self) -> None:
        self.world.clock.advance(timedelta(minutes=2))
        self.world.apply()
        for _ in range(3):
            self.world.settle(self.world.engine(), timedelta(days=2))
            if self.world.row is None:
                return
            assert self.world.row.state is State.OPERATOR  # I6: it ends, or a person is asked
            self.world.runbook().resolve(NAME, Resolution.RETRY, "the test is over")
        raise AssertionError(f"it does not come to rest: {self.world.row}")


def _raising(kind: str) -> Callable[[Point], None]:
    def raise_it(point: Point) -> None:
        if point.effect.startswith("ledger"):
            raise StateUnavailable
        if point.effect.startswith("backend"):
            raise Conflict if kind == "conflict" else BackendUnavailable
        raise (
            IssuerUnavailable if kind == "transport" and point.when == "before" else OutcomeUnknown
        )

    return raise_it


RotationMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


TestRotationMachine = RotationMachine.TestCase
pytestmark = pytest.mark.slow
