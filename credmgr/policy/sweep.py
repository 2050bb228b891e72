"""Looking at credentials: at those whose time has come, or at all of them; in bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from credmgr.model.clock import Clock
from credmgr.model.finding import Finding, Settlement
from credmgr.model.names import Name
from credmgr.model.subject import Subject
from credmgr.policy.judging import Judge
from credmgr.policy.settling import Judged, settle

CHUNK: Final = 500
"""Credentials that are held in memory, and settled in one transaction."""
MOST: Final = 20_000
"""Credentials that one tick looks at; the rest comes with the next."""


class Ledger(Protocol):
    """The state database as a sweep sees it; implemented by `credmgr.store`.

    All methods may raise `StateUnavailable`.
    """

    def to_look_at(self, now: datetime, limit: int) -> Sequence[Name]:
        """Credentials whose time has come, longest waiting first."""
        ...

    def names_after(self, name: str, limit: int) -> Sequence[Name]:
        """Credentials behind a name in their order, with whatever status."""
        ...

    def subjects(self, names: Sequence[Name]) -> Sequence[Subject]:
        """What is known of credentials, in no particular order."""
        ...

    def known_findings(self, names: Sequence[Name], now: datetime) -> Sequence[Finding]:
        """Their open findings, and resolved ones whose exemption still holds."""
        ...

    def settle(
        self,
        names: Sequence[Name],
        decide: Callable[[Sequence[Finding]], Settlement],
        now: datetime,
    ) -> Settlement:
        """Decide on what is known of these credentials now and write it, in one transaction."""
        ...

    def adopt_rules(self, digest: str, now: datetime) -> bool:
        """Make every credential due for a look when other rules hold than before; whether so."""
        ...


@dataclass(frozen=True, slots=True)
class Swept:
    """What came of a sweep.

    Attributes:
        looked: Credentials that were looked at.
        opened: Findings that are new.
        changed: Open ones that are different now.
        resolved: Open ones that are gone.
    """

    looked: int = 0
    opened: int = 0
    changed: int = 0
    resolved: int = 0

    def __add__(self, other: "Swept") -> "Swept":
        return Swept(
            self.looked + other.looked,
            self.opened + other.opened,
            self.changed + other.changed,
            self.resolved + other.resolved,
        )


class Sweep:
    """Puts the rules to credentials and writes what comes of it.

    Args:
        ledger: The state database.
        judge: The active rules.
        clock: Time.
        actor: Who looks, for the audit chain.
    """

    def __init__(self, ledger: Ledger, judge: Judge, clock: Clock, actor: str) -> None:
        self._ledger, self._judge, self._clock, self._actor = ledger, judge, clock, actor

    def tick(self, most: int = MOST) -> Swept:
        """Look at what is due; what it costs grows with that, not with what exists."""
        done = Swept()
        while done.looked < most:
            names = self._ledger.to_look_at(self._clock.now(), CHUNK)
            done += self._look_at(names)
            if len(names) < CHUNK:
                break
        return done

    def everything(self, progress: Callable[[int], None] = lambda _: None) -> Swept:
        """Look at every credential, due or not.

        Args:
            progress: Is told how many have been looked at, now and then.
        """
        done = Swept()
        for names in self._pages():
            done += self._look_at(names)
            progress(done.looked)
        return done

    def _pages(self) -> Iterator[Sequence[Name]]:
        last = ""
        while names := self._ledger.names_after(last, CHUNK):
            yield names
            last = names[-1]

    def _look_at(self, names: Sequence[Name]) -> Swept:
        if not names:
            return Swept()
        now = self._clock.now()
        subjects = self._ledger.subjects(names)
        judged = [Judged(one, self._judge.judge(one, now)) for one in subjects]

        def decide(known: Sequence[Finding]) -> Settlement:
            return settle(judged, known, self._actor, now)

        settled = decide(self._ledger.known_findings(names, now))
        if settled:  # decided anew within the transaction: another process may have been faster
            settled = self._ledger.settle(names, decide, now)
        opened, changed, resolved = settled.opened, settled.changed, settled.resolved
        return Swept(len(names), len(opened), len(changed), len(resolved))
