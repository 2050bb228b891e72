"""A token in the cache: how long it is true, when it is renewed, who used it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Final
from uuid import UUID

from credmgr.broker.asking import Key
from credmgr.model.names import Name
from credmgr.model.token import Token
from credmgr.model.usage import Usage

AHEAD: Final = timedelta(minutes=5)
"""How long before its end a token is renewed (CaseForge's own client does the same)."""
SHARE: Final = 0.2
"""What is left at least of a short life when it is renewed."""
SKEW: Final = timedelta(seconds=2)
"""A token is not given out this shortly before its end: it still has to arrive somewhere."""
SHORT_SKEW: Final = 0.1
IDLE_LIVES: Final = 2
"""A token that nobody asked for in this many of its lives is not renewed."""


class Tally:
    """Counts uses without a lock: in CPython, advancing an `itertools.count` is one atomic step."""

    __slots__ = ("_hits", "_taken", "first", "last")

    def __init__(self, now: datetime) -> None:
        self._hits = count()
        self._taken = 0
        self.first = self.last = now

    def mark(self, now: datetime) -> None:
        """Count one use."""
        next(self._hits)
        self.last = now

    def take(self) -> int:
        """How many were counted since the last time. For one thread at a time."""
        reached = next(self._hits)
        uses = reached - self._taken
        self._taken = reached + 1
        return uses


@dataclass(slots=True, eq=False)
class Live:
    """One token while it lives.

    Attributes:
        key: What it is shared under.
        version: The version that it was minted from.
        token: The token.
        began: By the steady clock, just before it was requested.
        until: By the steady clock, when it is given out no more.
        ends: The same by the wall clock; whichever comes first counts.
        asked_at: By the steady clock, when somebody last asked for it.
        uses: By consumer.
    """

    key: Key
    version: UUID
    token: Token
    began: timedelta
    until: timedelta
    ends: datetime
    asked_at: timedelta
    uses: dict[Name, Tally] = field(default_factory=dict)

    @classmethod
    def of(cls, key: Key, version: UUID, token: Token, began: timedelta) -> "Live":
        """A token that was requested at `began`."""
        life = token.expires_at - token.issued_at
        skew = min(SKEW, life * SHORT_SKEW)
        return cls(key, version, token, began, began + life - skew, token.expires_at - skew, began)

    @property
    def life(self) -> timedelta:
        """How long it lives in all."""
        return self.token.expires_at - self.token.issued_at

    @property
    def renewed_by(self) -> timedelta:
        """When it should be renewed at the latest, by the steady clock."""
        return self.began + self.life - min(AHEAD, self.life * SHARE)

    def idle(self, now: timedelta) -> bool:
        """Whether it is not worth being renewed."""
        return now - self.asked_at > self.life * IDLE_LIVES

    def mark(self, consumer: Name, now: datetime) -> None:
        """Count one use."""
        tally = self.uses.get(consumer)
        if tally is None:
            tally = self.uses.setdefault(consumer, Tally(now))
        tally.mark(now)

    def taken(self) -> list[Usage]:
        """The uses since the last time."""
        return [
            Usage(who, self.key.credential, self.version, self.key.scopes, one.first, one.last, n)
            for who, one in list(self.uses.items())
            if (n := one.take())
        ]
