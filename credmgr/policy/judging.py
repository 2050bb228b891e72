"""All active rules put to one credential."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cache
from typing import Final, NamedTuple

from credmgr.model.subject import Subject
from credmgr.policy.rule import EVERYTHING, Active, Answer, Found, Pack, Scope


class Judgement(NamedTuple):
    """What the rules say of one credential.

    Attributes:
        found: The rules that are broken, and how.
        until: When time alone could change any of it; None means never.
    """

    found: tuple[tuple[Active, Found], ...]
    until: datetime | None


class Verdict(NamedTuple):
    """What one rule says of one credential.

    Attributes:
        rule: The rule.
        answer: What it says; None where it is not put.
        applies: Whether it is for this credential at all.
    """

    rule: Active
    answer: Answer
    applies: bool


SILENT: Final = Judgement((), None)
"""Nothing is said of a credential that the manifest does not declare any more."""


class Judge:
    """The active rules of all packs. Immutable, so threads may share it."""

    def __init__(self, packs: Iterable[Pack]) -> None:
        self.packs = tuple(packs)
        self._rules = tuple(
            (rule.rule.look, rule.parameters, None if rule.only == EVERYTHING else rule.only, rule)
            for pack in self.packs
            for rule in pack.rules
        )

    def judge(self, subject: Subject, now: datetime) -> Judgement:
        """What is broken, and until when that holds; a sweep's innermost loop."""
        if not subject.active:
            return SILENT
        found: list[tuple[Active, Found]] = []
        until: datetime | None = None
        for look, parameters, only, rule in self._rules:
            if only is not None and not covers(only, subject):
                continue
            answer = look(subject, parameters, now)
            if answer is None:
                continue
            if isinstance(answer, Found):
                found.append((rule, answer))
                answer = answer.until
                if answer is None:
                    continue
            if until is None or answer < until:
                until = answer
        return Judgement(tuple(found), until)

    def explain(self, subject: Subject, now: datetime) -> Iterator[Verdict]:
        """Every rule with its answer, and whether it is for this credential at all."""
        for look, parameters, only, rule in self._rules:
            applies = only is None or covers(only, subject)
            answer = look(subject, parameters, now) if applies else None
            yield Verdict(rule, answer, applies=applies)


def covers(only: Scope, subject: Subject) -> bool:
    """Whether a rule is for a credential."""
    return (
        (not only.environments or subject.environment in only.environments)
        and (not only.kinds or subject.kind in only.kinds)
        and (not only.issuers or _like(subject.issuer, only.issuers))
        and (not only.owners or _like(subject.owner, only.owners))
        and (not only.names or any(fnmatchcase(subject.name, one) for one in only.names))
    )


@cache
def _like(text: str, patterns: tuple[str, ...]) -> bool:
    """Cached, since a million credentials have a handful of issuers and owners."""
    return any(fnmatchcase(text, pattern) for pattern in patterns)
