"""The broker: one request for all, true tokens only, no wider than granted."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Barrier, Event
from uuid import UUID, uuid4

import pytest

from credmgr.broker.asking import Ask
from credmgr.broker.broker import Broker
from credmgr.errors import (
    CredmgrError,
    NotGranted,
    ScopeNotGranted,
    SecretNotFound,
    SecretRejected,
    StateUnavailable,
    TokenUnavailable,
)
from credmgr.model.audit import Event as AuditEvent
from credmgr.model.consumer import Consumer, Grant, Readable
from credmgr.model.credential import Credential, Environment, Kind, Place
from credmgr.model.finding import Alert, Finding
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.token import Token, TokenRequest
from credmgr.model.usage import Usage
from credmgr.model.version import Stage, Version, VersionStatus
from credmgr.plugins.backend import Held
from credmgr.plugins.issuer import Issuer
from credmgr.testing import FakeClock

NAME, ISSUER, BILLING = Name("caseforge/reporting"), Name("caseforge"), Name("billing")
READ, WRITE = "cases:read", "cases:write"
CREDENTIAL = Credential(
    name=NAME,
    kind=Kind.OAUTH_CLIENT,
    issuer=ISSUER,
    owner="team",
    environment=Environment.TEST,
    store=Place(Name("local"), NAME),
    scopes=frozenset({READ, WRITE}),
    client_id="app_1",
)
BOTH = frozenset({Readable.SECRET, Readable.TOKEN})
CONSUMER = Consumer(BILLING, "team", (Grant(NAME, BOTH, frozenset({READ})),))
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


@dataclass
class World:
    """An issuer, a store and a state database, each as a test wants them."""

    clock: FakeClock = field(default_factory=FakeClock)
    life: timedelta = HOUR
    requests: list[tuple[str, TokenRequest]] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)
    error: Exception | None = None
    gate: Event | None = None
    began: Event = field(default_factory=Event)
    change: Callable[[Token], Token] = lambda token: token
    held_now: dict[Stage, Held | CredmgrError] = field(default_factory=dict)
    current: dict[Name, UUID] = field(default_factory=dict)
    seen: int = 0
    down: bool = False
    uses: list[Usage] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self) -> UUID:
        version = uuid4()
        old = self.held_now.get(Stage.CURRENT)
        if isinstance(old, Held):
            self.held_now[Stage.PREVIOUS] = replace(old, stage=Stage.PREVIOUS)
        secret = Secret(f"secret-{len(self.current) + self.seen}-{version}")
        self.held_now[Stage.CURRENT] = Held(version, Stage.CURRENT, secret)
        self.current[NAME] = version
        self.seen += 1
        return version

    def value(self, stage: Stage = Stage.CURRENT) -> str:
        held = self.held_now[stage]
        assert isinstance(held, Held)
        return held.secret.reveal()

    # the issuer
    def mint(self, credential: Credential, secret: Secret, request: TokenRequest) -> Token:
        del credential
        self.requests.append((secret.reveal(), request))
        self.began.set()
        if self.gate is not None:
            assert self.gate.wait(20)
        if self.error is not None:
            raise self.error
        if secret.reveal() in self.refuse:
            raise SecretRejected
        now = self.clock.now()
        value = Secret(f"token-{len(self.requests)}")
        return self.change(Token(value, request.scopes, now, now + self.life))

    # the world outside
    def issuer(self, credential: Credential) -> Issuer:
        assert credential.issuer == ISSUER
        return self  # type: ignore[return-value]

    def held(self, credential: Credential, stage: Stage) -> Held:
        assert credential.name == NAME
        found = self.held_now.get(stage, SecretNotFound())
        if isinstance(found, Held):
            return found
        raise found

    # the state database
    def revision(self) -> int:
        if self.down:
            raise StateUnavailable
        return self.seen

    def current_versions(self) -> Mapping[Name, Version]:
        return {
            name: Version(one, name, "id", "", VersionStatus.CURRENT, "", self.clock.now())
            for name, one in self.current.items()
        }

    def record_use(self, batch: Iterable[Usage]) -> None:
        if self.down:
            raise StateUnavailable
        self.uses += batch

    def open_finding(self, finding: Finding, actor: str) -> bool:
        del actor
        news = finding.key not in self.findings
        self.findings[finding.key] = finding
        return news

    def resolve_finding(self, key: str, actor: str, now: object) -> bool:
        del actor, now
        return self.findings.pop(key, None) is not None

    def queue_alerts(self, raised: Sequence[Alert], event: AuditEvent) -> None:
        del event
        self.alerts += raised


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def broker(world: World) -> Iterator[Broker]:
    made = Broker(world, world, world.clock, lambda: 0.5)
    made.adopt({NAME: CREDENTIAL}, {BILLING: CONSUMER}, world)
    yield made
    made.close()


ASK = Ask(BILLING, NAME)


def value(token: Token | None) -> str:
    assert token is not None
    return token.value.reveal()


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


def wait_for(happened: Callable[[], bool]) -> None:
    pause = Event()
    for _ in range(2000):
        if happened():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen")
