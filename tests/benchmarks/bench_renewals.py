"""10,000 credentials with a live token each: how even the renewals are, and what a token weighs.

Time is simulated, a second at a time; the broker, its threads and its calendar are the real ones.
"""

import statistics
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from threading import Condition
from typing import Final

from credmgr.broker.asking import Ask
from credmgr.broker.broker import Broker
from credmgr.model.credential import Credential
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.token import Token, TokenRequest
from credmgr.model.version import Stage
from credmgr.plugins.backend import Held
from tests.benchmarks.run import Told
from tests.broker_world import CREDENTIAL, HOUR, NAME, World

CREDENTIALS: Final = 10_000
SECOND: Final = timedelta(seconds=1)
TOGETHER: Final = 200
"""Tokens that are asked for at once in the beginning, which is the worst beginning."""


class Town(World):
    """An issuer and a store for any number of credentials."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.minted = 0
        self.landed = Condition()

    def mint(self, credential: Credential, secret: Secret, request: TokenRequest) -> Token:
        del secret
        now = self.clock.now()
        value = Secret(f"{credential.name}-{now:%H%M%S}".ljust(40, "x"))
        token = Token(value, request.scopes, now, now + HOUR)
        with self.landed:
            self.minted += 1
            self.landed.notify_all()
        return token

    def held(self, credential: Credential, stage: Stage) -> Held:
        del credential
        found = self.held_now[stage]
        assert isinstance(found, Held)
        return found

    def wait_for(self, minted: int) -> None:
        """Until so many tokens were minted."""
        with self.landed:
            self.landed.wait_for(lambda: self.minted >= minted)


@dataclass(frozen=True, slots=True)
class Evenness:
    """How even the renewals of the second and third hour were.

    Attributes:
        credentials: How many there are.
        mean: Renewals in a minute.
        peak: In the fullest minute.
        bytes_each: What a token weighs in memory, with all that is kept of it.
    """

    credentials: int
    mean: float
    peak: int
    bytes_each: float


def compared(folder: Path, runs: int) -> Iterator[Told]:
    """Simulate it once: nothing of it is left to chance but the threads' order."""
    del folder, runs
    town, names = Town(), [Name(f"team-{n % 97}/client-{n}") for n in range(CREDENTIALS)]
    credentials = {name: replace(CREDENTIAL, name=name) for name in names}
    town.current = dict.fromkeys(names, town.current[NAME])
    asks = [Ask(None, name) for name in names]
    with closing(Broker(town, town, town.clock, golden(), "bench")) as broker:
        broker.adopt(credentials, {}, town)
        weight = filled(broker, asks)
        minutes = renewed(broker, town, asks)
    counts = [minutes[minute] for minute in range(60, 180)]
    found = Evenness(CREDENTIALS, statistics.fmean(counts), max(counts), weight / CREDENTIALS)
    yield Told(
        f"{found.credentials:,} live tokens: {found.mean:.0f} renewals a minute, at most"
        f" {found.peak} ({found.peak / found.mean:.2f} x), {found.bytes_each:,.0f} bytes each",
        found,
    )


def golden() -> Callable[[], float]:
    """Numbers from 0 to 1 that are spread evenly, the same in every run."""
    numbers = count(1)
    return lambda: next(numbers) * 0.6180339887 % 1


def filled(broker: Broker, asks: list[Ask]) -> int:
    """Ask for everything within one moment; what it weighs in all."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for start in range(0, len(asks), TOGETHER):
        for waiting in [broker.request(ask) for ask in asks[start : start + TOGETHER]]:
            waiting.result()
    weight = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return weight


def renewed(broker: Broker, town: Town, asks: list[Ask]) -> Counter[int]:
    """Three hours, second by second: renewals in each minute."""
    minutes: Counter[int] = Counter()
    expected = town.minted
    for second in range(3 * 3600):
        town.clock.advance(SECOND)
        if second % 1800 == 0:
            for ask in asks:  # somebody still wants them
                broker.cached(ask)
        begun = broker.tend()
        minutes[second // 60] += begun
        expected += begun
        town.wait_for(expected)
    return minutes
