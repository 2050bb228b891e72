"""When which token is renewed, spread so that no moment gets many."""

import heapq
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from threading import Lock
from typing import Final, Generic, TypeVar

BUCKET: Final = timedelta(seconds=10)
JITTER: Final = 0.1
"""Of its life, by which a token is renewed earlier at most, in quiet times."""
EARLIEST: Final = 0.4
"""Of its life, before which no token is renewed however many are due."""
ROOM: Final = 1.25
"""How many times its even share of renewals a bucket takes."""
FEW: Final = 4
"""What a bucket always takes."""

T = TypeVar("T")


class Calendar(Generic[T]):
    """A heap of moments by the steady clock, with a look at how full each ten seconds are.

    Tokens that were minted together (after a start, say) would end together for ever; so a bucket
    that has its share already sends what comes next to an earlier one. Thread-safe.

    Args:
        jitter: Gives 0 to 1.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._lock = Lock()
        self._heap: list[tuple[timedelta, int, T]] = []
        self._load: Counter[int] = Counter()
        self._order = count()

    def spread(self, item: T, began: timedelta, latest: timedelta, life: timedelta) -> timedelta:
        """Enter an item near `latest`, earlier where that is crowded; the moment chosen."""
        at = max(latest - life * JITTER * self._jitter(), began)
        floor = began + (latest - began) * EARLIEST
        with self._lock:
            share = max(FEW, int(len(self._heap) * (BUCKET / life) * ROOM))
            bucket = first = at // BUCKET
            while self._load[bucket] >= share and (bucket - 1) * BUCKET > floor:
                bucket -= 1
            at -= (first - bucket) * BUCKET
            self._enter(at, item)
        return at

    def enter(self, item: T, at: timedelta) -> None:
        """Enter an item at just this moment."""
        with self._lock:
            self._enter(at, item)

    def due(self, now: timedelta, limit: int) -> list[T]:
        """Take out what has come due, earliest first, `limit` at most."""
        taken: list[T] = []
        with self._lock:
            while self._heap and self._heap[0][0] <= now and len(taken) < limit:
                at, _, item = heapq.heappop(self._heap)
                bucket = at // BUCKET
                self._load[bucket] -= 1
                if not self._load[bucket]:
                    del self._load[bucket]
                taken.append(item)
        return taken

    def _enter(self, at: timedelta, item: T) -> None:
        self._load[at // BUCKET] += 1
        heapq.heappush(self._heap, (at, next(self._order), item))
