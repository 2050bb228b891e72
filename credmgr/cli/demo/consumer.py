"""A consumer as it should be: reads its secret where it always looks, and now and then again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Thread
from typing import Final, Self

import urllib3

from credmgr.model.clock import Clock
from credmgr.model.secret import Secret

PACE: Final = timedelta(milliseconds=50)
REFRESH: Final = timedelta(seconds=1)
_SERVED: Final = 200


@dataclass(slots=True)
class CaseForge:
    """The API as a consumer calls it."""

    url: str
    http: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(retries=False, timeout=5, maxsize=4)
    )

    def open_cases(self, bearer: Secret) -> int | None:
        """How many cases `GET /v2/cases?status=open` gives; None when it refuses."""
        headers = {"Authorization": f"Bearer {bearer.reveal()}"}
        answer = self.http.request("GET", f"{self.url}/v2/cases?status=open", headers=headers)
        return len(answer.json()["items"]) if answer.status == _SERVED else None

    def accepts(self, bearer: Secret) -> bool:
        """Whether this key or token is served."""
        return self.open_cases(bearer) is not None


class Consumer:
    """Calls the API every 50 ms in a thread, with a secret that is at most a second old.

    Attributes:
        calls: Calls made.
        again: Calls refused once and served with the secret read anew.
        failures: Calls refused with a secret just read: what must never happen.
    """

    def __init__(self, api: CaseForge, read: Callable[[], Secret], clock: Clock) -> None:
        self.calls = self.again = self.failures = 0
        self._api, self._read, self._clock = api, read, clock
        self._secret, self._read_at = read(), clock.monotonic()
        self._stop = Event()
        self._thread = Thread(target=self._work, name="consumer", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def turn(self) -> None:
        """One call, and another one with the secret read anew when it is refused."""
        if self._clock.monotonic() - self._read_at >= REFRESH:
            self._refresh()
        self.calls += 1
        if self._api.accepts(self._secret):
            return
        self._refresh()
        if self._api.accepts(self._secret):
            self.again += 1
        else:
            self.failures += 1

    def _work(self) -> None:
        while not self._clock.wait(self._stop, PACE):
            self.turn()

    def _refresh(self) -> None:
        self._secret, self._read_at = self._read(), self._clock.monotonic()
