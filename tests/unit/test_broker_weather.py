"""The broker when the issuer, the store or the state database is not as it should be."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from threading import Event

import pytest

from credmgr.broker import flights
from credmgr.broker.asking import Ask
from credmgr.broker.breaker import FAILURES, LONGEST
from credmgr.broker.broker import MOST_KEYS, Broker
from credmgr.errors import (
    Ambiguous,
    BackendUnavailable,
    InvalidAnswer,
    IssuerUnavailable,
    NotGranted,
    ScopeNotGranted,
    ScopeRefused,
    StateUnavailable,
    TokenUnavailable,
)
from credmgr.model.consumer import Consumer, Grant, Readable
from credmgr.model.credential import Kind
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.token import Token
from credmgr.model.version import Stage
from tests.broker_world import (
    BILLING,
    BOTH,
    CONSUMER,
    CREDENTIAL,
    HOUR,
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
MINUTE = timedelta(minutes=1)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def broker(world: World) -> Iterator[Broker]:
    with adopted(world) as made:
        yield made


def refused(broker: Broker, ask: Ask = ASK) -> TokenUnavailable:
    with pytest.raises(TokenUnavailable) as caught:
        broker.token(ask)
    return caught.value


def bound(token: Token) -> Token:
    claims = urlsafe_b64encode(json.dumps({"cnf": {"jkt": "x"}}).encode()).decode().rstrip("=")
    return replace(token, value=Secret(f"e30.{claims}.c2ln"))


BAD = {
    "type": lambda token: replace(token, token_type="DPoP"),  # noqa: S106
    "bound": bound,
    "life": lambda token: replace(token, expires_at=token.issued_at),
    "scope": lambda token: replace(token, scopes=frozenset({READ, "all"})),
}


@pytest.mark.parametrize("wrong", BAD)
def test_a_token_that_cannot_be_shared_is_refused_and_told(
    broker: Broker, world: World, wrong: str
) -> None:
    world.change = BAD[wrong]
    assert refused(broker).retry_after == MINUTE
    broker.flush()
    (finding,) = world.opened.values()
    assert "no token" in finding.text
    assert len(world.alerts) == 1
    world.change = lambda token: token
    world.clock.advance(MINUTE)
    broker.token(ASK)
    broker.flush()
    assert not world.opened


@pytest.mark.parametrize("text", ["a.b.c", "a.!!!!!.c", "a.W10.c", "a.b"])
def test_what_is_no_token_with_claims_is_opaque(broker: Broker, world: World, text: str) -> None:
    world.change = lambda token: replace(token, value=Secret(text))
    assert value(broker.token(ASK)) == text


def test_no_token_is_believed_to_live_longer_than_a_day(broker: Broker, world: World) -> None:
    world.life = timedelta(days=10_000)
    token = broker.token(ASK)
    assert token.expires_at - token.issued_at == timedelta(days=1)


def test_an_issuer_that_fails_is_left_alone_and_then_tried_once(
    broker: Broker, world: World
) -> None:
    world.error = IssuerUnavailable()
    for _ in range(FAILURES):
        world.clock.advance(SECOND)
        refused(broker)
    asked = len(world.requests)
    assert refused(broker).retry_after >= SECOND
    assert len(world.requests) == asked
    world.clock.advance(LONGEST)
    world.gate = Event()
    probe = broker.request(ASK)
    wait_for(lambda: len(world.requests) == asked + 1)
    assert refused(broker, Ask(None, NAME)).retry_after == SECOND
    world.error = None
    world.gate.set()
    assert value(probe.result(20)).startswith("token-")


def test_what_the_issuer_asks_for_is_kept_to(broker: Broker, world: World) -> None:
    world.error = IssuerUnavailable(retry_after=MINUTE)
    assert refused(broker).retry_after == MINUTE
    world.error = None
    world.clock.advance(MINUTE - SECOND)
    refused(broker)
    world.clock.advance(SECOND)
    broker.token(ASK)


def test_the_other_version_is_tried_once_and_then_nothing(broker: Broker, world: World) -> None:
    old = world.value()
    world.rotate()
    world.refuse = {world.value()}
    broker.token(ASK)
    assert world.requests[-1][0] == old
    world.refuse.add(old)
    broker.forget(NAME)
    refused(broker)
    asked = len(world.requests)
    world.clock.advance(HOUR)
    refused(broker)
    assert len(world.requests) == asked
    world.rotate()
    world.clock.advance(3 * SECOND)
    broker.token(ASK)


def test_a_refused_version_without_another_is_final(broker: Broker, world: World) -> None:
    world.refuse = {world.value()}
    refused(broker)
    refused(broker)
    assert len(world.requests) == 1
    broker.flush()
    assert world.opened
    broker.forget(NAME)
    refused(broker)
    assert len(world.requests) == 2


@pytest.mark.parametrize("error", [BackendUnavailable(), InvalidAnswer(), RuntimeError("a bug")])
def test_whatever_fails_is_told_as_no_token_now(
    broker: Broker, world: World, error: Exception
) -> None:
    world.error = error
    assert refused(broker).retry_after >= SECOND


def test_scopes_that_the_issuer_refuses_are_not_granted(broker: Broker, world: World) -> None:
    world.error = ScopeRefused()
    with pytest.raises(ScopeNotGranted):
        broker.token(ASK)


def test_without_a_state_database_what_was_known_is_served(broker: Broker, world: World) -> None:
    broker.token(ASK)
    world.down = True
    world.clock.advance(3 * SECOND)
    assert value(broker.token(ASK)) == "token-1"
    with pytest.raises(StateUnavailable):
        broker.flush()
    world.down = False
    assert broker.flush() == 1


def test_those_who_wait_hear_that_it_stops(broker: Broker, world: World) -> None:
    world.gate = Event()
    waiting = broker.request(ASK)
    assert world.began.wait(20)
    broker.close()
    with pytest.raises(TokenUnavailable):
        waiting.result(20)
    refused(broker)
    world.gate.set()


def test_what_was_forgotten_on_its_way_is_fetched_again(broker: Broker, world: World) -> None:
    world.gate = Event()
    waiting = broker.request(ASK)
    assert world.began.wait(20)
    broker.forget(NAME)
    world.gate.set()
    assert value(waiting.result(20)) == "token-2"


def test_nothing_waits_without_bound(
    broker: Broker, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.gate = Event()
    monkeypatch.setattr(flights, "MOST_WAITING", 2)
    waiting = [broker.request(ASK) for _ in range(2)]
    refused(broker)
    monkeypatch.setattr(flights, "MOST_WAITING", 9)
    monkeypatch.setattr(flights, "MOST_FLIGHTS", 1)
    refused(broker, Ask(None, NAME))
    world.gate.set()
    assert {value(one.result(20)) for one in waiting} == {"token-1"}


def test_a_credential_has_so_many_different_tokens_at_most(broker: Broker, world: World) -> None:
    for number in range(MOST_KEYS):
        broker.token(Ask(BILLING, NAME, audience=f"https://{number}.example"))
    refused(broker)
    world.clock.advance(HOUR)
    broker.tend()  # what has ended is let go of
    broker.token(ASK)


def test_a_new_version_replaces_the_token_soon(broker: Broker, world: World) -> None:
    broker.token(ASK)
    world.rotate()
    world.clock.advance(3 * SECOND)
    broker.tend()
    world.clock.advance(3 * SECOND)
    assert broker.tend() == 1
    wait_for(lambda: value(broker.cached(ASK)) == "token-2")


def test_a_renewal_that_fails_leaves_the_old_token_and_comes_again(
    broker: Broker, world: World
) -> None:
    broker.token(ASK)
    world.error = IssuerUnavailable(retry_after=MINUTE)
    world.clock.advance(timedelta(minutes=55))
    assert broker.tend() == 1
    wait_for(lambda: len(broker.outcomes()) == 2)
    assert value(broker.cached(ASK)) == "token-1"
    assert broker.tend() == 0
    world.clock.advance(2 * MINUTE)
    world.error = None
    assert broker.tend() == 1
    wait_for(lambda: value(broker.cached(ASK)) == "token-3")


def test_what_nobody_wants_is_not_renewed(broker: Broker, world: World) -> None:
    broker.token(ASK)
    for _ in range(2):
        world.clock.advance(HOUR)
        broker.tend()
    assert len(world.requests) == 1


def test_a_manifest_without_the_credential_takes_its_tokens_away(
    broker: Broker, world: World
) -> None:
    broker.token(ASK)
    broker.adopt({}, {BILLING: CONSUMER}, world)
    assert broker.cached(ASK) is None
    with pytest.raises(NotGranted):
        broker.token(ASK)


def test_a_client_that_names_no_credential_gets_the_one_that_fits(world: World) -> None:
    other = Name("caseforge/other")
    grants = (
        Grant(NAME, BOTH, frozenset({READ})),
        Grant(other, frozenset({Readable.TOKEN}), frozenset({WRITE})),
    )
    made = Broker(world, world, world.clock, lambda: 0.5, "daemon@host")
    credentials = {NAME: CREDENTIAL, other: replace(CREDENTIAL, name=other)}
    made.adopt(credentials, {BILLING: Consumer(BILLING, "team", grants)}, world)
    assert made.choose(BILLING, frozenset({WRITE}), None).credential == other
    assert made.choose(BILLING, None, str(other)).credential == other
    with pytest.raises(Ambiguous):
        made.choose(BILLING, None, None)
    with pytest.raises(ScopeNotGranted):
        made.choose(BILLING, frozenset({READ, WRITE}), None)
    with pytest.raises(NotGranted):
        made.choose(Name("nobody"), None, None)
    made.close()


def test_a_secret_that_is_not_granted_is_not_read(broker: Broker, world: World) -> None:
    del world.held_now[Stage.CURRENT]
    with pytest.raises(NotGranted):
        broker.secret(Name("nobody"), NAME)


def test_an_api_key_has_no_tokens(broker: Broker, world: World) -> None:
    key = replace(CREDENTIAL, kind=Kind.API_KEY)
    broker.adopt({NAME: key}, {BILLING: CONSUMER}, world)
    with pytest.raises(NotGranted, match="API key"):
        broker.token(ASK)


def test_an_operator_chooses_among_all(broker: Broker) -> None:
    assert broker.choose(None, None, None).credential == NAME


def test_uses_that_could_not_be_written_are_added_up(broker: Broker, world: World) -> None:
    broker.token(ASK)
    world.down = True
    with pytest.raises(StateUnavailable):
        broker.flush()
    broker.cached(ASK)
    world.down = False
    broker.flush()
    assert [use.count for use in world.uses] == [2]
