"""A token in memory that is valid whenever it is asked for.

Asked while it is good, it costs one look at the clock and takes no lock. In the last five minutes
of its life, and once a minute to see whether another one has taken its place, it is still given
out while a thread fetches the next. When there is none, all who ask wait for one request.
"""

import logging
import os
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from functools import partial
from threading import Event, Lock, Thread
from typing import Final, NamedTuple
from weakref import WeakSet

from credmgr.client.daemon import Daemon, Granted
from credmgr.client.origin import SHORTLY, Fresh, Origin
from credmgr.client.wire import DEADLINE
from credmgr.errors import CredmgrError, TokenUnavailable

AHEAD: Final = timedelta(minutes=5)
"""How long before its end a token is replaced (as CaseForge's own client does),"""
SHARE: Final = 0.2
"""and what is left at least of a short life then."""
SKEW: Final = timedelta(seconds=2)
"""A token is not given out this shortly before its end: it still has to arrive somewhere."""
SHORT_SKEW: Final = 0.1
LOOK: Final = timedelta(minutes=1)
"""How often to see whether another token has taken its place."""
LONGEST_PAUSE: Final = timedelta(minutes=1)
_PATIENCE: Final = 2 * DEADLINE
_NEVER: Final = float("-inf")
_log = logging.getLogger("credmgr.client")


def _steady() -> Callable[[], float]:
    """Seconds that also pass while the machine sleeps, where the system counts them."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    return time.monotonic


class _Held(NamedTuple):
    """A token, and until when nothing has to be asked, until when it is given out."""

    value: str
    look_at: float
    renew_at: float
    until: float

    def __repr__(self) -> str:
        return "_Held(hidden)"


_NOTHING: Final = _Held("", _NEVER, _NEVER, _NEVER)


class _Flight:
    """One request, and what all who wait for it are told."""

    def __init__(self) -> None:
        self.done = Event()
        self.value = ""
        self.error: Exception | None = None


class TokenSource:
    """The token of one credential, for any number of threads; survives a fork.

    Args:
        of: The credential at credmgr, or where else tokens come from.
        scopes: What the token is for, of credmgr; all that is granted unless given.
        audience: For whom it is meant, likewise.
        daemon: Which credmgr; the one of the environment unless given.
        steady: Seconds that pass.

    Raises:
        ConfigError: The environment does not say where credmgr is.
    """

    def __init__(
        self,
        of: str | Origin,
        *,
        scopes: Collection[str] = (),
        audience: str | None = None,
        daemon: Daemon | None = None,
        steady: Callable[[], float] | None = None,
    ) -> None:
        if isinstance(of, str):
            of = Granted(daemon or Daemon.of_environment(), of, scopes, audience)
        self._origin = of
        self._steady = steady or _steady()
        self._lock = Lock()
        self._held = _NOTHING
        self._flight: _Flight | None = None
        self._refused: str | None = None
        self._failure: tuple[Exception, float] | None = None
        _sources.add(self)

    def token(self) -> str:
        """A token that is valid now.

        Raises:
            CredmgrError: There is none; `retryable` says whether to ask again.
        """
        held = self._held
        if self._steady() < held.look_at:
            return held.value
        return self._looked()

    def at_hand(self) -> str | None:
        """The token, if it can be had without waiting for anybody."""
        return self._held.value if self._steady() < self._held.look_at else None

    def reject(self, token: str) -> bool:
        """An API refused this token (401): have it replaced.

        Returns:
            Whether it was the one that is given out; otherwise there is another one already.
        """
        with self._lock:
            if token != self._held.value or not token:
                return False
            self._held, self._refused, self._failure = _NOTHING, token, None
            self._launched()
        return True

    def _looked(self) -> str:
        with self._lock:
            held, now = self._held, self._steady()
            if now < held.look_at:
                return held.value
            if self._failure is not None and now < self._failure[1] and now >= held.until:
                raise self._failure[0].with_traceback(None)
            flight = self._launched()
        if now < held.until:
            return held.value
        if not flight.done.wait(_PATIENCE.total_seconds()):
            raise TokenUnavailable("the token is a long time coming", retry_after=SHORTLY)
        if flight.error is not None:
            raise flight.error
        return flight.value

    def _launched(self) -> _Flight:
        """The request on its way, begun if there is none; with the lock held."""
        if self._flight is None:
            self._flight = _Flight()
            Thread(
                target=self._fly, args=(self._flight,), name="credmgr-token", daemon=True
            ).start()
        return self._flight

    def _fly(self, flight: _Flight) -> None:
        """One request; the outermost edge of its thread."""
        landed = False
        while not landed:
            held: _Held | None = None
            try:
                held = self._fetched()
                flight.value, flight.error = held.value, None
            except Exception as error:  # noqa: BLE001 (a secret's reader may raise anything)
                flight.error = error
                _log.warning("no token: %s", getattr(error, "message", type(error).__name__))
            with self._lock:
                landed = self._landed(held, flight.error)
        flight.done.set()

    def _fetched(self) -> _Held:
        held, began = self._held, self._steady()
        if began < held.renew_at and not self._origin.outdated():
            return held._replace(look_at=min(held.renew_at, began + LOOK.total_seconds()))
        with self._lock:
            refused, self._refused = self._refused, None
        if refused is not None:
            self._report(refused)
        began = self._steady()
        return _held(self._origin.fetch(), began)

    def _landed(self, held: _Held | None, error: Exception | None) -> bool:
        """Take what came; False when it was refused while it was on its way."""
        if held is not None and held.value == self._refused:
            return False
        self._flight = None
        if held is not None:
            self._held, self._failure = held, None
        elif error is not None:
            self._postpone(error)
        return True

    def _report(self, refused: str) -> None:
        try:
            self._origin.reject(refused)
        except CredmgrError as error:
            _log.warning("a refused token could not be reported: %s", error.message)

    def _postpone(self, error: Exception) -> None:
        """Ask again only after a pause; what is still good is given out meanwhile."""
        after: timedelta = getattr(error, "retry_after", None) or SHORTLY
        until = self._steady() + min(after, LONGEST_PAUSE).total_seconds()
        self._failure = (error, until)
        self._held = self._held._replace(look_at=min(until, self._held.until))

    def _forked(self) -> None:
        """In a child, whose parent's threads are not there any more."""
        self._lock, self._flight = Lock(), None


def _held(fresh: Fresh, began: float) -> _Held:
    life = fresh.life
    renew_at = began + (life - min(AHEAD, life * SHARE)).total_seconds()
    until = began + (life - min(SKEW, life * SHORT_SKEW)).total_seconds()
    return _Held(fresh.value, min(renew_at, began + LOOK.total_seconds()), renew_at, until)


_sources: WeakSet[TokenSource] = WeakSet()


def _forked() -> None:
    for source in list(_sources):
        source._forked()  # noqa: SLF001 (its own module)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
