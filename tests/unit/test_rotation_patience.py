"""Waits that a jump of the wall clock does not shorten."""

from datetime import timedelta
from uuid import uuid4

from credmgr.rotation.patience import Patience
from credmgr.testing.clock import FakeClock

HOUR = timedelta(hours=1)
ROTATION = uuid4()


def test_time_that_passes_counts() -> None:
    clock = FakeClock()
    patience, since = Patience(clock), clock.now()
    assert patience.left(ROTATION, since, HOUR) == HOUR
    clock.advance(timedelta(minutes=40))
    assert patience.left(ROTATION, since, HOUR) == timedelta(minutes=20)
    clock.advance(HOUR)
    assert patience.left(ROTATION, since, HOUR) == timedelta()


def test_a_wall_clock_set_forward_does_not_end_a_wait() -> None:
    clock = FakeClock()
    patience, since = Patience(clock), clock.now()
    patience.left(ROTATION, since, HOUR)
    clock.jump(timedelta(days=1))
    assert patience.left(ROTATION, since, HOUR) == HOUR


def test_a_wall_clock_set_back_prolongs_a_wait() -> None:
    clock = FakeClock()
    patience, since = Patience(clock), clock.now()
    patience.left(ROTATION, since, HOUR)
    clock.advance(HOUR)
    clock.jump(-timedelta(minutes=30))
    assert patience.left(ROTATION, since, HOUR) == timedelta(minutes=30)


def test_a_process_that_starts_later_counts_what_passed_before() -> None:
    clock = FakeClock()
    since = clock.now()
    clock.advance(timedelta(minutes=50))
    assert Patience(clock).left(ROTATION, since, HOUR) == timedelta(minutes=10)


def test_a_wait_that_is_over_is_forgotten() -> None:
    clock = FakeClock()
    patience = Patience(clock)
    patience.left(ROTATION, clock.now(), HOUR)
    patience.forget(ROTATION)
    clock.advance(HOUR)
    assert patience.left(ROTATION, clock.now(), HOUR) == HOUR
    patience.forget(uuid4())
