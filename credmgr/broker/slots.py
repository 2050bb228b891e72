"""The places in which tokens live, one per key, and the one request that may be on its way."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from credmgr.broker.asking import Wanted
from credmgr.broker.life import Live
from credmgr.errors import BrokerError
from credmgr.model.names import Name
from credmgr.model.token import Token

REJECTING: Final = timedelta(seconds=10)
"""Within this, only one report of a rejected token is believed for each key."""


def _running() -> Future[Token]:
    """A future that nobody can cancel: whoever goes away leaves the rest waiting undisturbed."""
    future: Future[Token] = Future()
    future.set_running_or_notify_cancel()
    return future


@dataclass(slots=True, eq=False)
class Flight:
    """One request on its way to the issuer.

    Attributes:
        future: What everybody waits for.
        joined: Those who do; None is an operator, or nobody when it is a renewal ahead.
    """

    future: Future[Token] = field(default_factory=_running)
    joined: list[Name | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no token, remembered for a while.

    Attributes:
        error: What callers are told.
        until: By the steady clock, how long nobody tries again.
    """

    error: BrokerError
    until: timedelta


@dataclass(slots=True, eq=False)
class Slot:
    """The place of one key.

    Attributes:
        wanted: What is requested of the issuer.
        live: The token, if there is one.
        flight: The request on its way, if there is one.
        failure: Why the last request gave nothing.
        renew_at: By the steady clock, when to renew.
        rejected_at: By the steady clock, when a consumer's report last took the token away.
        generation: Grows when what is on its way must no longer be used.
    """

    wanted: Wanted
    live: Live | None = None
    flight: Flight | None = None
    failure: Failure | None = None
    renew_at: timedelta | None = None
    rejected_at: timedelta | None = None
    generation: int = 0

    def used(self, now: timedelta) -> bool:
        """Whether it holds anything that still matters."""
        failed = self.failure is not None and now < self.failure.until
        rejected = self.rejected_at is not None and now - self.rejected_at < REJECTING
        return self.live is not None or self.flight is not None or failed or rejected
