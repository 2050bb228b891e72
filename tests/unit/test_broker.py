"""The broker: one request for all, true tokens only, no wider than granted."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event

import pytest

from credmgr.broker.asking import Ask
from credmgr.broker.broker import Broker
from credmgr.errors import (
    IssuerUnavailable,
    NotGranted,
    ScopeNotGranted,
    TokenUnavailable,
)
from credmgr.model.names import Name
from credmgr.plugins.issuer import AudienceRefused
from tests.broker_world import (
    BILLING,
    HOUR,
    ISSUER,
    NAME,
    READ,
    SECOND,
    WRITE,
    World,
    adopted,
    value,
    wait_for,
)

ASK = Ask(BILLING, NAME)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def broker(world: World) -> Iterator[Broker]:
    with adopted(world) as made:
        yield made


ASK = Ask(BILLING, NAME)


def test_a_second_ask_is_served_from_memory(broker: Broker, world: World) -> None:
    assert broker.cached(ASK) is None
    first = broker.token(ASK)
    assert broker.cached(ASK) is first
    assert broker.token(ASK) is first
    assert len(world.requests) == 1


def test_a_thousand_cold_threads_make_one_request(broker: Broker, world: World) -> None:
    world.gate = Event()
    start = Barrier(1001)

    def ask() -> str:
        start.wait(60)
        return value(broker.token(ASK, 60 * SECOND))

    with ThreadPoolExecutor(1000) as pool:
        asked = [pool.submit(ask) for _ in range(1000)]
        start.wait(60)
        assert world.began.wait(20)
        world.gate.set()
        assert {one.result(60) for one in asked} == {"token-1"}
    assert len(world.requests) == 1


def test_who_gives_up_disturbs_nobody(broker: Broker, world: World) -> None:
    world.gate = Event()
    waiting = broker.request(ASK)
    with pytest.raises(TokenUnavailable):
        broker.token(ASK, timedelta())
    assert not waiting.cancel()
    world.gate.set()
    assert value(waiting.result(20)) == "token-1"


@pytest.mark.parametrize("by", ["advance", "jump"])
def test_a_token_is_given_until_its_end_by_either_clock(
    broker: Broker, world: World, by: str
) -> None:
    broker.token(ASK)
    getattr(world.clock, by)(HOUR - 3 * SECOND)
    assert broker.cached(ASK) is not None
    getattr(world.clock, by)(SECOND)
    assert broker.cached(ASK) is None
    assert value(broker.token(ASK)) == "token-2"


def test_a_wall_clock_set_back_prolongs_nothing(broker: Broker, world: World) -> None:
    broker.token(ASK)
    world.clock.jump(-HOUR)
    world.clock.advance(HOUR)
    assert broker.cached(ASK) is None


class TestScopes:
    def test_all_that_is_granted_is_the_default(self, broker: Broker, world: World) -> None:
        broker.token(ASK)
        broker.token(Ask(BILLING, NAME, frozenset()))
        broker.token(Ask(BILLING, NAME, frozenset({READ})))
        assert [request.scopes for _, request in world.requests] == [{READ}]

    def test_an_operator_may_have_what_the_credential_has(
        self, broker: Broker, world: World
    ) -> None:
        broker.token(Ask(None, NAME))
        assert world.requests[0][1].scopes == {READ, WRITE}

    def test_wider_than_the_grant_is_refused(self, broker: Broker, world: World) -> None:
        with pytest.raises(ScopeNotGranted, match=WRITE):
            broker.token(Ask(BILLING, NAME, frozenset({READ, WRITE})))
        assert not world.requests

    @pytest.mark.parametrize(
        "ask", [Ask(Name("nobody"), NAME), Ask(BILLING, Name("other")), Ask(None, Name("other"))]
    )
    def test_unknown_and_forbidden_look_alike(self, broker: Broker, ask: Ask) -> None:
        with pytest.raises(NotGranted) as denied:
            broker.token(ask)
        assert str(denied.value) == str(NotGranted())


def test_an_audience_that_the_issuer_does_not_know_is_as_good_as_none(
    broker: Broker, world: World
) -> None:
    world.error = AudienceRefused()
    strange = Ask(BILLING, NAME, audience="https://nowhere.example")
    with pytest.raises(NotGranted):
        broker.token(strange)
    with pytest.raises(NotGranted):
        broker.token(strange)
    assert len(world.requests) == 1
    broker.flush()
    assert not world.opened  # no news for people: anybody can name an audience


def test_it_says_how_requests_to_an_issuer_ended(broker: Broker, world: World) -> None:
    broker.token(ASK)
    world.error = IssuerUnavailable()
    with pytest.raises(TokenUnavailable):
        broker.token(Ask(None, NAME))
    assert broker.outcomes() == {(ISSUER, "minted"): 1, (ISSUER, "token_unavailable"): 1}


def test_a_rejected_token_is_dropped_once(broker: Broker, world: World) -> None:
    broker.token(ASK)
    assert not broker.reject(ASK, "another")
    assert broker.reject(ASK, "token-1")
    assert not broker.reject(ASK, "token-1")
    assert value(broker.token(ASK)) == "token-2"
    assert not broker.reject(ASK, "token-2")
    world.clock.advance(10 * SECOND)
    assert broker.reject(ASK, "token-2")


def test_a_token_is_renewed_ahead_and_swapped(broker: Broker, world: World) -> None:
    broker.token(ASK)
    world.clock.advance(timedelta(minutes=55))
    assert broker.tend() == 1
    broker.request(Ask(None, NAME)).result(20)  # a later one of the same issuer
    wait_for(lambda: value(broker.cached(ASK)) == "token-2")


def test_a_secret_is_read_by_grant_and_counted(broker: Broker, world: World) -> None:
    assert broker.secret(BILLING, NAME).secret.reveal() == world.value()
    assert broker.secret(None, NAME).secret.reveal() == world.value()
    assert broker.flush() == 1
    assert [(use.consumer, use.scopes, use.count) for use in world.uses] == [
        (BILLING, frozenset(), 1)
    ]


def test_two_who_write_at_once_count_each_use_once(broker: Broker, world: World) -> None:
    broker.token(ASK)
    world.slow = Event()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(broker.flush)
        assert world.writing.wait(20)
        second = pool.submit(broker.flush)
        world.slow.set()
        assert (first.result(20), second.result(20)) == (1, 0)
    assert [use.count for use in world.uses] == [1]
