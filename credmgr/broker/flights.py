"""Requests on their way: one per slot, however many wait for it."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Final

import structlog

from credmgr.broker.life import Live
from credmgr.broker.slots import Failure, Flight, Slot
from credmgr.broker.telling import LATER, SOON, told
from credmgr.errors import CredmgrError, TokenUnavailable
from credmgr.model.clock import Clock
from credmgr.model.names import Name
from credmgr.model.token import Token

MOST_WAITING: Final = 2000
"""Callers who wait for an issuer at once; the next is told to come again."""
MOST_FLIGHTS: Final = 500
"""Requests on their way or queued at once."""
MOST_RENEWALS: Final = 32
"""Of these, begun ahead of need; the rest of the room is for those who wait."""

_log = structlog.get_logger("credmgr.broker")


class Flights:
    """Threads that mint, a bounded pool for each issuer, so that a slow one delays no other.

    Every method but `close` is called with `lock` held.

    Args:
        lock: Guards the slots.
        mint: Makes one request; raises as `Mint.mint` does.
        landed: Takes what came of it, with `lock` held.
        clock: Time.
        workers: Requests to one issuer at once.
    """

    def __init__(
        self,
        lock: Lock,
        mint: Callable[[Slot], Live],
        landed: Callable[[Slot, Flight, Live | Failure], None],
        clock: Clock,
        workers: int,
    ) -> None:
        self._lock, self._mint, self._landed = lock, mint, landed
        self._clock, self._workers = clock, workers
        self._pools: dict[Name, ThreadPoolExecutor] = {}
        self._waiting = 0
        self._flying: dict[Flight, Slot] = {}
        self._closed = False

    @property
    def spare(self) -> int:
        """How many renewals ahead may be begun now."""
        return max(MOST_RENEWALS - len(self._flying), 0)

    def join(self, slot: Slot, consumer: Name | None) -> Future[Token]:
        """Wait for the slot's request, which is begun if there is none.

        Raises:
            TokenUnavailable: Too many wait already, or too many requests are on their way.
        """
        if self._waiting >= MOST_WAITING:
            raise TokenUnavailable("too many wait already", retry_after=SOON)
        flight = slot.flight or self.launch(slot)
        flight.joined.append(consumer)
        self._waiting += 1
        return flight.future

    def launch(self, slot: Slot) -> Flight:
        """Begin a request.

        Raises:
            TokenUnavailable: Too many are on their way.
        """
        if self._closed or len(self._flying) >= MOST_FLIGHTS:
            raise TokenUnavailable("too many requests are on their way", retry_after=SOON)
        issuer = slot.wanted.credential.issuer
        pool = self._pools.get(issuer)
        if pool is None:
            pool = self._pools[issuer] = ThreadPoolExecutor(self._workers, f"tokens-{issuer}")
        slot.flight = flight = Flight()
        self._flying[flight] = slot
        pool.submit(self._fly, slot, flight)
        return flight

    def close(self) -> None:
        """Tell those who wait that nothing will come; what is on its way is dropped."""
        with self._lock:
            self._closed = True
            flying, self._flying = self._flying, {}
            pools, self._pools = self._pools, {}
            for slot in flying.values():
                slot.flight = None
        for pool in pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        for flight in flying:
            flight.future.set_exception(TokenUnavailable("credmgr stops", retry_after=LATER))

    def _fly(self, slot: Slot, flight: Flight) -> None:
        while True:
            generation = slot.generation
            outcome = self._outcome(slot)
            with self._lock:
                if flight not in self._flying:
                    return  # closed meanwhile
                if slot.generation != generation:
                    continue  # forgotten meanwhile: what came is not to be used
                del self._flying[flight]
                self._waiting -= len(flight.joined)
                slot.flight = None
                self._landed(slot, flight, outcome)
            break
        if isinstance(outcome, Failure):
            flight.future.set_exception(outcome.error)
        else:
            flight.future.set_result(outcome.token)

    def _outcome(self, slot: Slot) -> Live | Failure:
        """One request; the outermost edge of its thread."""
        credential = slot.wanted.credential
        log = _log.bind(credential=credential.name, issuer=credential.issuer)
        try:
            return self._mint(slot)
        except CredmgrError as error:
            log.warning("no token", why=error.message, code=error.code)
            return told(error, self._clock.monotonic())
        except Exception:
            log.exception("unexpected error while minting")
            failed = TokenUnavailable("no token can be had", retry_after=LATER)
            return Failure(failed, self._clock.monotonic() + LATER)
