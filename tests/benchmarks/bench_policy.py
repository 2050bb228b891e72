"""Rules over many credentials: a full sweep, and a tick that costs what is due."""

import json
import os
import resource
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from credmgr.model.names import Name
from credmgr.packs.loading import SHIPPED, shipped_packs
from credmgr.policy.judging import Judge
from credmgr.policy.sweep import Sweep, Swept
from credmgr.store import Store, open_store
from credmgr.testing.clock import FakeClock
from tests.benchmarks.bench_due_tick import declared
from tests.benchmarks.run import Benchmark

SIZES: Final = tuple(
    int(size) for size in os.environ.get("CREDMGR_BENCH_POLICY", "10000,100000").split(",")
)
"""How many credentials there are; `10000,100000,1000000` is the whole of it."""
DUE: Final = 1_000
CHUNK: Final = 10_000
LATER: Final = timedelta(days=20)
DEFAULT: Final = shipped_packs()[SHIPPED.index("default")]
_VERSION: Final = (
    "INSERT INTO versions (id, credential, secret_id, label, status, fingerprint, issued_at)"
    " VALUES (?, ?, ?, '', 'current', ?, ?)"
)
_ROWS: Final = (
    "SELECT c.name, c.declaration, c.applied_at, c.next_due_at, v.issued_at, v.expires_at"
    " FROM credentials c LEFT JOIN versions v ON v.credential = c.name AND v.status = 'current'"
    " ORDER BY c.name"
)


@contextmanager
def benchmarks(folder: Path) -> Iterator[Sequence[Benchmark]]:
    """For each size: the sweep, the plain loop beside it, and the tick with a thousand due."""
    with ExitStack() as stack:
        found = []
        for size in SIZES:
            clock = FakeClock()
            file = folder / f"policy-{size}.db"
            store = stack.enter_context(filled(file, clock, size))
            sweep = Sweep(store.ledger, Judge([DEFAULT]), clock, "bench")
            sweep.everything()
            found.append(Benchmark(f"full sweep of {size:,}", Everything(sweep, size)))
            found.append(Benchmark(f"a plain loop over {size:,}", PlainLoop(file, clock)))
            found.append(Benchmark(f"tick: {DUE:,} due of {size:,}", Tick(store, sweep, clock)))
        yield found


def filled(file: Path, clock: FakeClock, size: int) -> Store:
    """A state database with so many credentials, each with a secret."""
    store = open_store(
        f"sqlite:///{file}", clock=clock, audit_key=bytes(32), owner="bench", migrate=True
    )
    names = [Name(f"team-{number % 97}/key-{number}") for number in range(size)]
    first = names[:CHUNK]
    store.ledger.enrol([declared(name) for name in first], [], "bench", clock.now())
    with closing(sqlite3.connect(file)) as database, database:
        for table in ("credentials", "leases", "copies"):
            known = database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
            for start in range(CHUNK, size, CHUNK):
                _like(database, table, known, dict(zip(first, names[start:], strict=False)))
        at = clock.now().isoformat(timespec="microseconds")
        rows = ((f"{n:032x}", name, f"key_{n}", f"{n:016x}", at) for n, name in enumerate(names))
        database.executemany(_VERSION, rows)
    return store


def _like(
    database: sqlite3.Connection, table: str, known: Sequence[Any], others: Mapping[str, str]
) -> None:
    """The same rows for other names, since declaring a million in turn takes its time."""
    for row in known:
        old = next(value for value in row if value in others)
        new = [each.replace(old, others[old]) if isinstance(each, str) else each for each in row]
        marks = ", ".join("?" * len(new))
        database.execute(f"INSERT INTO {table} VALUES ({marks})", new)  # noqa: S608


class Everything:
    """Looks at everything, and tells how much memory that took."""

    def __init__(self, sweep: Sweep, size: int) -> None:
        self.sweep, self.size, self.told = sweep, size, False

    def __call__(self) -> Swept:
        swept = self.sweep.everything()
        if not self.told:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            sys.stdout.write(f"  at most {peak:,.0f} MB so far, {self.size:,} credentials\n")
            self.told = True
        return swept


class PlainLoop:
    """What anybody would write in ten lines: read every row, and compare."""

    def __init__(self, file: Path, clock: FakeClock) -> None:
        self.file, self.clock = file, clock

    def __call__(self) -> int:
        now, found = self.clock.now(), 0
        with closing(sqlite3.connect(self.file)) as database:
            for _, text, applied, due, issued, expires in database.execute(_ROWS):
                said = json.loads(text)
                born, since = datetime.fromisoformat(issued), datetime.fromisoformat(applied)
                every = said["policy"]["schedule"]["every_us"]
                found += now - born > timedelta(days=90)
                found += expires is not None and datetime.fromisoformat(expires) < now
                found += every is not None and due is not None and datetime.fromisoformat(due) < now
                found += len(said["scopes"]) > 5
                found += said["kind"] == "api-key" and said["environment"] == "production"
                found += said["owner"] in {"", "nobody", "tbd"}
                found += now - since > timedelta(days=90)
        return found


class Tick:
    """A thousand credentials change, and the rules look at them."""

    def __init__(self, store: Store, sweep: Sweep, clock: FakeClock) -> None:
        self.store, self.sweep, self.clock = store, sweep, clock
        self.names = store.ledger.names_after("", DUE)

    def __call__(self) -> Swept:
        with self.store._database.write() as tx:
            marks = ", ".join("?" * len(self.names))
            tx.connection.exec_driver_sql(
                f"UPDATE credentials SET next_look_at = ? WHERE name IN ({marks})",  # noqa: S608
                (self.clock.now().isoformat(timespec="microseconds"), *self.names),
            )
        swept = self.sweep.tick()
        assert swept.looked == len(self.names)
        return swept
