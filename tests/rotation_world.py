"""One credential, its issuer and two stores, under a clock that the test moves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from credmgr.distribution.copies import CredentialCopies
from credmgr.distribution.keeper import ORDINARY, Care, Keeper, Means
from credmgr.errors import LeaseHeld, SecretNotFound
from credmgr.model.copy import Copy
from credmgr.model.credential import (
    Credential,
    CredentialStatus,
    Environment,
    Kind,
    Overlap,
    Place,
    Retry,
    RotationPolicy,
    Schedule,
    Target,
)
from credmgr.model.names import Name
from credmgr.model.rotation import Rotation, State
from credmgr.model.secret import Fingerprinter, Secret
from credmgr.model.version import Stage, VersionStatus
from credmgr.plugins.backend import SecretBackend
from credmgr.plugins.issuer import Issuer
from credmgr.plugins.sink import Sink
from credmgr.rotation.engine import Engine
from credmgr.rotation.patience import Patience
from credmgr.rotation.runbook import Runbook
from credmgr.rotation.work import Tools
from credmgr.store import Store, open_store
from credmgr.testing.clock import START, FakeClock
from credmgr.testing.failpoints import Failpoints, Point
from credmgr.testing.memory_backend import MemoryBackend
from credmgr.testing.memory_issuer import MemoryIssuer
from credmgr.testing.memory_sink import MemorySink

NAME = Name("caseforge/api-key")
ISSUER, FIRST, SECOND, FILE = Name("issuer"), Name("first"), Name("second"), Name("file")
MINUTE = timedelta(minutes=1)
OVERLAP = Overlap(minimum=timedelta(minutes=10), maximum=timedelta(hours=1))
FINGERPRINTER = Fingerprinter(b"k" * 32)
REFRESH = timedelta(minutes=4)  # how often a consumer reads anew: OVERLAP.minimum > twice this
EVERY = timedelta(days=1)


def credential(**changes: object) -> Credential:
    """A credential in two stores and a sink, rotated daily."""
    made = Credential(
        name=NAME,
        kind=Kind.API_KEY,
        issuer=ISSUER,
        owner="payments",
        environment=Environment.DEVELOPMENT,
        store=Place(FIRST, NAME),
        targets=(Target(Place(SECOND, Name("copy/api-key"))), Target(Place(FILE, NAME))),
        scopes=frozenset({"cases:read"}),
        policy=RotationPolicy(
            schedule=Schedule(every=EVERY),
            overlap=OVERLAP,
            retry=Retry(first=timedelta(seconds=1), ceiling=MINUTE, attempts=8),
        ),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@dataclass
class Consumer:
    """Reads a store now and then, keeps what it read, and logs in with it all the time."""

    read: Callable[[], Secret | None]
    name: Name
    issuer: MemoryIssuer
    clock: FakeClock
    held: Secret | None = None
    read_at: datetime = START
    logins: int = 0
    failures: list[str] = field(default_factory=list)

    def live(self, moment: str, *, caching: bool = True) -> None:
        """Log in with a fresh read, and with the cached value."""
        now = self.clock.now()
        fresh = self.read()
        if fresh is None:
            self.held = None  # its first secret is not there yet, or was withdrawn again
            return
        self._login(fresh, f"{moment}: a fresh read")
        if self.held is None or not caching or now - self.read_at >= REFRESH:
            self.held, self.read_at = fresh, now
        self._login(self.held, f"{moment}: a value read at {self.read_at}")

    def _login(self, secret: Secret, how: str) -> None:
        self.logins += 1
        if not self.issuer.accepts(secret):
            self.failures.append(how)


@dataclass
class World:
    """Everything outside credmgr, which survives its crashes; `engine()` is one process."""

    store: Store
    clock: FakeClock = field(default_factory=FakeClock)
    credential: Credential = field(default_factory=credential)
    issuer: MemoryIssuer = field(init=False)
    backends: dict[Name, MemoryBackend] = field(init=False)
    sinks: dict[Name, MemorySink] = field(init=False)
    consumers: list[Consumer] = field(init=False)
    processes: int = 0

    def __post_init__(self) -> None:
        self.issuer = MemoryIssuer(self.clock)
        self.backends = {FIRST: MemoryBackend(self.clock), SECOND: MemoryBackend(self.clock)}
        self.sinks = {FILE: MemorySink()}
        self.consumers = [
            Consumer(self._reader(place), place.name, self.issuer, self.clock)
            for place in self.credential.places
        ]
        self.apply()

    def _reader(self, place: Place) -> Callable[[], Secret | None]:
        """What reads a place as its consumers do."""
        if place.backend in self.sinks:
            return lambda: self.sinks[place.backend].value(place.name)

        def read() -> Secret | None:
            try:
                return self.backends[place.backend].read(place.name, Stage.CURRENT).secret
            except SecretNotFound:
                return None

        return read

    def apply(self, *retire: Name) -> None:
        """Make the declaration known, or retire it."""
        declared = [] if retire else [self.credential]
        self.store.ledger.enrol(declared, retire, "operator:test", self.clock.now())

    def live(self, moment: str = "") -> None:
        """Every consumer logs in once; while an emergency runs, only with what it reads then."""
        row = self.row
        caching = row is None or not row.urgent
        for consumer in self.consumers:
            consumer.live(moment, caching=caching)

    def engine(self, points: Failpoints | None = None) -> Engine:
        """A new process that knows nothing but what is in the database."""
        self.processes += 1
        points = points or Failpoints()
        points.observe = self._observed(points.observe)
        outside = _Outside(
            points.issuer(self.issuer),
            {name: points.backend(name, backend) for name, backend in self.backends.items()},
            {name: points.sink(name, sink) for name, sink in self.sinks.items()},
        )
        tools = Tools(
            ledger=points.ledger(self.store.ledger),
            clock=self.clock,
            fingerprinter=FINGERPRINTER,
            patience=Patience(self.clock),
            actor="daemon@test",
            jitter=lambda: 0.5,
        )
        return Engine(tools, outside, f"process-{self.processes}", MINUTE)

    def _observed(self, before: Callable[[Point], None]) -> Callable[[Point], None]:
        def observe(point: Point) -> None:
            before(point)
            self.live(str(point))

        return observe

    def runbook(self, engine: Engine | None = None) -> Runbook:
        """An operator's moves, in a process of its own."""
        return Runbook(engine or self.engine())

    def keeper(self) -> Keeper:
        """What looks after copies, in a process of its own."""
        runbook = self.runbook()
        means = Means(
            ledger=self.store.ledger,
            book=self.store.copies,
            rotations=runbook,
            clock=self.clock,
            jitter=lambda: 0.5,
            fingerprinter=FINGERPRINTER,
            actor="daemon@test",
        )
        return Keeper(means, self, timedelta(minutes=15))

    def keep(self, care: Care = ORDINARY) -> dict[str, Copy]:
        """Look at every copy whose turn it is; how each was found, by its backend or sink."""
        keeper = self.keeper()
        return {c.place.backend: keeper.tend(c, care) for c in keeper.claim(100)}

    @property
    def row(self) -> Rotation | None:
        """The open rotation."""
        return self.store.ledger.open_rotation(self.credential.name)

    @property
    def last(self) -> Rotation:
        """The newest rotation."""
        return self.store.ledger.rotations(self.credential.name, 1)[0]

    def turn(self, engine: Engine) -> None:
        """One tick of the daemon, in which every consumer lives too."""
        if self.store.ledger.due(self.clock.now(), 10):
            with suppress(LeaseHeld):
                engine.tend(self.credential.name)
        self.live("between ticks")

    def run(self, engine: Engine, length: timedelta, pace: timedelta = MINUTE / 2) -> None:
        """Tick for some time."""
        end = self.clock.now() + length
        while self.clock.now() < end:
            self.turn(engine)
            self.clock.advance(pace)
        self.turn(engine)

    def settle(self, engine: Engine, bound: timedelta = timedelta(hours=6)) -> Rotation:
        """Tick until no rotation moves by itself any more."""
        end = self.clock.now() + bound
        self.turn(engine)
        while self.row and self.row.state is not State.OPERATOR and not self.row.steps:
            if self.clock.now() >= end:
                raise AssertionError(f"still in {self.row} after {bound}")
            self.clock.advance(timedelta(seconds=30))
            self.turn(engine)
        return self.last

    def set_up(self) -> None:
        """Issue the first secret."""
        self.settle(self.engine())

    def next_day(self) -> None:
        """Let the schedule make the credential due."""
        self.clock.advance(EVERY)

    def violations(self) -> list[str]:
        """What does not hold at the end, in words (DESIGN §4); empty is right."""
        return [*self._consumers(), *self._known(), *self._tidy(), *self._attempts()]

    def _consumers(self) -> Iterator[str]:
        for consumer in self.consumers:
            for failure in consumer.failures[:1]:
                yield f"I1: {consumer.name} failed with {failure}"

    def _known(self) -> Iterator[str]:
        known = {one.secret_id for one in self.store.ledger.versions(self.credential.name)}
        rotations = self.store.ledger.rotation_ids(self.credential.name)
        for one in self.issuer.live():
            labelled = any(one.label.startswith(f"credmgr-{each.hex}-") for each in rotations)
            if one.secret_id not in known and not labelled and one.label != "foreign":
                yield f"I2: {one.secret_id} is live and nobody knows it"

    def _tidy(self) -> Iterator[str]:
        if self.row is not None:
            return
        ours = [one for one in self.issuer.live() if one.label != "foreign"]
        status = self.store.ledger.enrolled(self.credential.name).status
        wanted = 0 if status is CredentialStatus.REVOKED else 1
        if self.current_ids() and len(ours) != wanted:
            yield f"I4: {[one.secret_id for one in ours]} are live"
        for name, backend in self.backends.items():
            held = [
                v
                for place in self.credential.places
                if place.backend == name
                for v in backend.versions(place.name)
            ]
            if len(held) > wanted or any(v.stage is not Stage.CURRENT for v in held):
                yield f"I4: {name} holds {[v.stage for v in held]}"
        yield from self._written(wanted)
        if len(set(self.current_ids())) > 1:
            yield "I4: the copies differ"

    def _written(self, wanted: int) -> Iterator[str]:
        """What a sink holds is the current secret too, or nothing when there is none."""
        current = set(self.current_ids()) if wanted else {None}
        for place in self.credential.places:
            if place.backend in self.sinks and current:
                state = self.sinks[place.backend].inspect(place.name)
                if state.version not in current or state.intact is not bool(wanted):
                    yield f"I4: {place} holds {state}"

    def current_ids(self) -> list[object]:
        """The version that each store shows its readers, where it shows one."""
        return [
            v.version
            for place in self.credential.places
            if place.backend in self.backends
            for v in self.backends[place.backend].versions(place.name)
            if v.stage is Stage.CURRENT
        ]

    def _attempts(self) -> Iterator[str]:
        known = self.store.ledger.versions(self.credential.name)
        labels = [one.label for one in known if one.label]
        if len(labels) != len(set(labels)):
            yield "I7: one label was used twice"
        for rotation in self.store.ledger.rotations(self.credential.name, 100):
            if rotation.attempt > 3:
                yield "I7: more than three attempts"
        if sum(one.status is VersionStatus.CURRENT for one in known) > 1:
            yield "I4: two versions are current"


class _Outside:
    def __init__(
        self, issuer: Issuer, backends: dict[Name, SecretBackend], sinks: dict[Name, Sink]
    ) -> None:
        self._issuer, self._backends, self._sinks = issuer, backends, sinks

    def issuer(self, credential: Credential) -> Issuer:
        del credential
        return self._issuer

    def copies(self, credential: Credential) -> CredentialCopies:
        return CredentialCopies(credential, self._backends, self._sinks)


@contextmanager
def world_in(folder: Path, **changes: object) -> Iterator[World]:
    """A world over a fresh SQLite state database."""
    clock = FakeClock()
    with open_store(
        f"sqlite:///{folder}/state.db",
        clock=clock,
        audit_key=b"a" * 32,
        owner="test",
        migrate=True,
    ) as store:
        yield World(store, clock, credential(**changes))
