"""The failpoint loop of tests/unit/test_rotation_failpoints.py, on PostgreSQL."""

from collections.abc import Iterator

import pytest

from credmgr.model.names import Name
from credmgr.store import Store, open_store
from credmgr.testing.clock import FakeClock
from credmgr.testing.failpoints import Failpoints
from tests.rotation_world import World, credential
from tests.unit.test_rotation_failpoints import BOUND, SCENARIOS, Scenario, raise_error, survive

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(postgres_url: str, clock: FakeClock) -> Iterator[Store]:
    with open_store(
        postgres_url, clock=clock, audit_key=b"a" * 32, owner="test", migrate=True
    ) as opened:
        yield opened


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("how", ["crash", "error"])
def test_a_failure_at_any_point_is_survived(
    scenario: Scenario, how: str, store: Store, clock: FakeClock
) -> None:
    for number in range(BOUND):
        points = Failpoints(number) if how == "crash" else Failpoints(number, raise_error)
        world = World(store, clock, credential(name=Name(f"case/number-{number}")))
        survive(world, scenario, points)
        world.apply(world.credential.name)
        if len(points.reached) <= number:
            return
    pytest.fail(f"more than {BOUND} points")
