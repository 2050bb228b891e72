"""Rules that a pack brings itself, as an expression that holds where the rule is broken."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from credmgr.model.subject import Subject
from credmgr.policy.rule import Answer, Found

AGAIN: Final = timedelta(hours=1)
"""How soon an expression that speaks of time is looked at again: nobody can say when it turns."""


class Unclear(NamedTuple):
    """The expression makes no sense of a credential.

    Attributes:
        why: The reason, one clause.
    """

    why: str


class Expression(Protocol):
    """A compiled expression; implemented by `credmgr.packs`. Thread-safe."""

    @property
    def timed(self) -> bool:
        """Whether time alone could change what it says."""
        ...

    def holds(self, subject: Subject, now: datetime) -> bool | Unclear:
        """Whether it is true of a credential."""
        ...


@dataclass(frozen=True, slots=True)
class Custom:
    """Parameters of a rule that a pack brings itself.

    Attributes:
        expression: Holds where the rule is broken.
        text: What is told then, one clause.
    """

    expression: Expression
    text: str


def custom(subject: Subject, rule: Custom, now: datetime) -> Answer:
    """Put the expression to a credential; one that makes no sense of it is told as a finding."""
    again = now + AGAIN if rule.expression.timed else None
    match rule.expression.holds(subject, now):
        case True:
            return Found(rule.text, None, again)
        case Unclear(why):
            return Found(f"the rule makes no sense of it: {why}", None, again)
        case _:
            return again
