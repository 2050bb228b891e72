"""Credentials as rules see them, and a state database in memory, for the tests of the policy."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from credmgr.model.audit import Event
from credmgr.model.credential import Environment, Kind
from credmgr.model.finding import Alert, Finding, Settlement
from credmgr.model.names import Name
from credmgr.model.subject import Subject

NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY: Final = timedelta(days=1)
KEY: Final = Subject(
    name=Name("billing/key"),
    kind=Kind.API_KEY,
    environment=Environment.DEVELOPMENT,
    issuer="caseforge",
    owner="payments",
    scopes=frozenset({"cases:read", "cases:write"}),
    applied_at=NOW - 200 * DAY,
    issued_at=NOW - 10 * DAY,
)


def key(**facts: Any) -> Subject:
    """The key with some facts otherwise."""
    return KEY._replace(**facts)


class MemoryLedger:
    """The state database as a sweep sees it."""

    def __init__(self, *subjects: Subject) -> None:
        self.subjects_by_name = {subject.name: subject for subject in subjects}
        self.all: list[Finding] = []
        self.events: list[Event] = []
        self.alerts: list[Alert] = []
        self.asked: list[Name] = []
        self.writes = 0
        self.digest = ""

    def to_look_at(self, now: datetime, limit: int) -> Sequence[Name]:
        due = [
            one for one in self.subjects_by_name.values() if one.looks_at and one.looks_at <= now
        ]
        return [one.name for one in sorted(due)][:limit]

    def names_after(self, name: str, limit: int) -> Sequence[Name]:
        return sorted(one for one in self.subjects_by_name if one > name)[:limit]

    def subjects(self, names: Sequence[Name]) -> Sequence[Subject]:
        self.asked += names
        return [self.subjects_by_name[name] for name in names]

    def known_findings(self, names: Sequence[Name], now: datetime) -> Sequence[Finding]:
        return [
            one
            for one in self.all
            if one.credential in names
            and (one.resolved_at is None or (one.exempt_until or now) > now)
        ]

    def settle(
        self,
        names: Sequence[Name],
        decide: Callable[[Sequence[Finding]], Settlement],
        now: datetime,
    ) -> Settlement:
        settled = decide(self.known_findings(names, now))
        self.writes += 1
        gone = {one.key for one in settled.resolved}
        changed = {one.key: one for one in settled.changed}
        for place, one in enumerate(self.all):
            if one.resolved_at is None and one.key in gone:
                self.all[place] = replace(one, resolved_at=now)
            elif one.resolved_at is None and one.key in changed:
                self.all[place] = changed[one.key]
        self.all += settled.opened
        self.events += settled.events
        self.alerts += settled.alerts
        for look in settled.looks:
            known = self.subjects_by_name[look.credential]
            if known.looks_at == look.before:
                self.subjects_by_name[look.credential] = known._replace(looks_at=look.after)
        return settled

    def adopt_rules(self, digest: str, now: datetime) -> bool:
        self.digest, known = digest, self.digest
        return known != digest and now is not None

    def change(self, name: Name, **facts: Any) -> None:
        """Facts of a credential change, so a rule looks at once."""
        facts = {"looks_at": NOW, **facts}
        self.subjects_by_name[name] = self.subjects_by_name[name]._replace(**facts)

    def edit(self, key: str, **said: Any) -> None:
        """A person decides something about an open finding."""
        for place, one in enumerate(self.all):
            if one.key == key and one.resolved_at is None:
                self.all[place] = replace(one, **said)

    @property
    def open(self) -> dict[str, Finding]:
        return {one.key: one for one in self.all if one.resolved_at is None}
