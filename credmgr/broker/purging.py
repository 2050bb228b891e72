"""Tokens gone everywhere: one process asks, every live one drops them and says so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event, Lock
from typing import Final, Protocol

from credmgr.model.audit import Event as AuditEvent
from credmgr.model.clock import Clock
from credmgr.model.names import Name
from credmgr.model.purge import Purge

PATIENCE: Final = timedelta(seconds=15)
"""How long the asking process waits for the others."""
LIVE: Final = timedelta(seconds=30)
"""A daemon that was heard within this is waited for; three heartbeats."""
POLL: Final = timedelta(milliseconds=200)


class Sign(Protocol):
    """A daemon's sign of life."""

    @property
    def owner(self) -> str:
        """The process."""
        ...

    @property
    def seen_at(self) -> datetime:
        """When it was last heard."""
        ...


class Wishes(Protocol):
    """Where purges are kept; implemented by `credmgr.store`. May raise `StateUnavailable`."""

    def ask_purge(self, credential: Name, event: AuditEvent, now: datetime) -> Purge:
        """Enter a wish."""
        ...

    def purges(self, after: int) -> Sequence[Purge]:
        """Wishes above an id, oldest first."""
        ...

    def acknowledge_purges(self, done: Sequence[Purge]) -> None:
        """Note that this process has dropped the tokens."""
        ...

    def purge_owners(self, purge: int) -> frozenset[str]:
        """The processes that have acknowledged a wish."""
        ...

    def heartbeats(self) -> Sequence[Sign]:
        """Every daemon."""
        ...


@dataclass(frozen=True, slots=True)
class Purged:
    """How far a purge came.

    Attributes:
        done: Daemons that have dropped the tokens.
        silent: Daemons that live as far as is known, and have not said so.
    """

    done: tuple[str, ...]
    silent: tuple[str, ...]


def purge(
    wishes: Wishes, credential: Name, actor: str, clock: Clock, is_gone: Callable[[str], bool]
) -> Purged:
    """Have every live daemon drop the tokens of a credential, and wait for that, bounded.

    Raises:
        StateUnavailable: Nobody could be asked.
    """
    event = AuditEvent(actor, "tokens.purged", credential)
    wish = wishes.ask_purge(credential, event, clock.now())
    deadline, never = clock.monotonic() + PATIENCE, Event()
    while True:
        done = wishes.purge_owners(wish.id)
        signs = [sign for sign in wishes.heartbeats() if clock.now() - sign.seen_at < LIVE]
        silent = {sign.owner for sign in signs if not is_gone(sign.owner)} - done
        if not silent or clock.monotonic() >= deadline:
            return Purged(tuple(sorted(done)), tuple(sorted(silent)))
        clock.wait(never, POLL)


class Purger:
    """A process's side of it. Thread-safe.

    Args:
        wishes: Where purges are kept.
        forget: Drops the tokens of a credential.
    """

    def __init__(self, wishes: Wishes, forget: Callable[[Name], object]) -> None:
        self._wishes, self._forget = wishes, forget
        self._lock = Lock()
        self._done = 0

    def turn(self) -> int:
        """Do what was asked since the last time; how much that was.

        The first turn does all that is kept: it harms nothing, and a wish from just before is not
        missed.

        Raises:
            StateUnavailable: The state database does not answer; what is left is done next time.
        """
        with self._lock:
            found = self._wishes.purges(self._done)
            for wish in found:
                self._forget(wish.credential)
            if found:
                self._wishes.acknowledge_purges(found)
                self._done = found[-1].id
            return len(found)
