"""An issuer, a store and a state database in memory, around a real broker."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event
from uuid import UUID, uuid4

from credmgr.broker.broker import Broker
from credmgr.errors import (
    CredmgrError,
    SecretNotFound,
    SecretRejected,
    StateUnavailable,
)
from credmgr.model.audit import Event as AuditEvent
from credmgr.model.consumer import Consumer, Grant, Readable
from credmgr.model.credential import Credential, Environment, Kind, Place
from credmgr.model.finding import Alert, Finding
from credmgr.model.names import Name
from credmgr.model.purge import Purge
from credmgr.model.secret import Secret
from credmgr.model.subject import Topic
from credmgr.model.token import Token, TokenRequest
from credmgr.model.usage import Usage
from credmgr.model.version import Stage, Version, VersionStatus
from credmgr.plugins.backend import Held
from credmgr.plugins.issuer import Issuer
from credmgr.store.heartbeats import Heartbeat
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
    slow: Event | None = None
    writing: Event = field(default_factory=Event)
    uses: list[Usage] = field(default_factory=list)
    opened: dict[str, Finding] = field(default_factory=dict)
    observed: list[tuple[Name, Topic, tuple[str, ...]]] = field(default_factory=list)
    events: list[AuditEvent] = field(default_factory=list)
    wishes: list[Purge] = field(default_factory=list)
    receipts: set[tuple[int, str]] = field(default_factory=set)
    signs: list[Heartbeat] = field(default_factory=list)
    owner: str = "me"
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
        self.writing.set()
        if self.slow is not None:
            assert self.slow.wait(20)
        self.uses += batch

    def observe(self, name: Name, topic: Topic, details: Sequence[str]) -> bool:
        if self.down:
            raise StateUnavailable
        self.observed.append((name, topic, tuple(details)))
        return True

    def open_finding(self, finding: Finding, actor: str) -> bool:
        del actor
        news = finding.key not in self.opened
        self.opened[finding.key] = finding
        return news

    def resolve_finding(self, key: str, actor: str, now: object) -> bool:
        del actor, now
        return self.opened.pop(key, None) is not None

    def queue_alerts(self, raised: Sequence[Alert], event: AuditEvent) -> None:
        self.events.append(event)
        self.alerts += raised

    def findings(self, *, open_only: bool) -> Sequence[Finding]:
        assert open_only
        return list(self.opened.values())

    def ask_purge(self, credential: Name, event: AuditEvent, now: datetime) -> Purge:
        self.events.append(event)
        self.wishes.append(Purge(len(self.wishes) + 1, credential, now))
        return self.wishes[-1]

    def purges(self, after: int) -> Sequence[Purge]:
        return [one for one in self.wishes if one.id > after]

    def acknowledge_purges(self, done: Sequence[Purge]) -> None:
        self.receipts |= {(one.id, self.owner) for one in done}

    def purge_owners(self, purge: int) -> frozenset[str]:
        return frozenset(owner for one, owner in self.receipts if one == purge)

    def heartbeats(self) -> Sequence[Heartbeat]:
        return self.signs


def value(token: Token | None) -> str:
    assert token is not None
    return token.value.reveal()


def wait_for(happened: Callable[[], bool]) -> None:
    pause = Event()
    for _ in range(2000):
        if happened():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen")


@contextmanager
def adopted(world: World) -> Iterator[Broker]:
    """A broker that has taken the world's credential and consumer into use."""
    made = Broker(world, world, world.clock, lambda: 0.5, "daemon@host")
    made.adopt({NAME: CREDENTIAL}, {BILLING: CONSUMER}, world)
    yield made
    made.close()
