"""The daemon's question to the state database: it costs what is due, not what exists."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from credmgr.model.credential import Credential, Environment, Kind, Place
from credmgr.model.names import Name
from credmgr.store import Store, open_store
from credmgr.testing.clock import FakeClock
from tests.benchmarks.run import Benchmark

SIZES: Final = (1_000, 100_000)
DUE: Final = 32
"""Eight workers with four credentials each: what one tick claims at most."""
LATER: Final = timedelta(days=30)


@contextmanager
def benchmarks(folder: Path) -> Iterator[Sequence[Benchmark]]:
    """The tick with nothing due and with 32 due, among a thousand and a hundred thousand."""
    with ExitStack() as stack:
        found = []
        for size in SIZES:
            for due in (0, DUE):
                clock = FakeClock()
                store = stack.enter_context(filled(folder / f"{size}-{due}.db", clock, size, due))
                found.append(Benchmark(f"tick: {due} due of {size:,}", Asked(store, clock)))
        yield found


def filled(file: Path, clock: FakeClock, size: int, due: int) -> Store:
    """A state database with so many credentials, of which so many are due."""
    store = open_store(
        f"sqlite:///{file}", clock=clock, audit_key=bytes(32), owner="bench", migrate=True
    )
    names = [Name(f"team-{number % 97}/key-{number}") for number in range(size)]
    for some, moment in ((names[:due], clock.now()), (names[due:], clock.now() + LATER)):
        store.ledger.enrol([declared(name) for name in some], [], "bench", moment)
    return store


class Asked:
    """Asks what is due, as the daemon does."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store, self.clock = store, clock

    def __call__(self) -> Sequence[Name]:
        return self.store.ledger.due(self.clock.now(), DUE)


def declared(name: Name) -> Credential:
    """A credential as somebody may declare it."""
    return Credential(
        name=name,
        kind=Kind.API_KEY,
        issuer=Name("caseforge"),
        owner="platform-team",
        environment=Environment.TEST,
        store=Place(Name("local"), name),
    )
