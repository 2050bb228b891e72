"""What a rule is: a small pure question about one credential, with a reasoned answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from credmgr.model.finding import Severity
from credmgr.model.subject import Subject


class Found(NamedTuple):
    """The rule is broken.

    Attributes:
        text: What was found, one clause after the credential's name; without numbers that run.
        severity: How bad, where the rule itself grades; None leaves it to the pack.
        until: When time alone could change this; None means never.
    """

    text: str
    severity: Severity | None = None
    until: datetime | None = None


Answer: TypeAlias = Found | datetime | None
"""`Found`; or when time alone could break the rule; or None: only a change of facts could."""

Look: TypeAlias = Callable[[Subject, Any, datetime], Answer]
"""What a rule asks: of a credential, under parameters, at a moment."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Parameters of a rule that has none."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as it is written, before a pack gives it parameters.

    Attributes:
        code: Its stable reason code.
        title: What it holds, one sentence.
        severity: How bad it is to break it, unless a pack says otherwise.
        remedy: What to do about it; `{name}` stands for the credential.
        source: Where it comes from, unless a pack says otherwise.
        look: The question.
        reads: The fields of the subject that it looks at, for `policy explain`.
        parameters: A frozen dataclass of what a pack may set.
        told: Whether somebody else tells people when it happens; then only its getting worse and
            its end are told from here.
    """

    code: str
    title: str
    severity: Severity
    remedy: str
    source: str
    look: Look
    reads: tuple[str, ...]
    parameters: type[Any] = Nothing
    told: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """Which credentials a rule is for; what is empty leaves nobody out.

    Attributes:
        environments: Where they are used.
        kinds: Of which kind they are.
        issuers: Who makes their secrets; `*` stands for any text.
        owners: Who answers for them, likewise.
        names: What they are called, likewise.
    """

    environments: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    issuers: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


EVERYTHING: Final = Scope()


@dataclass(frozen=True, slots=True)
class Active:
    """A rule as a pack uses it.

    Attributes:
        id: Its pack and its name there: `default/max-age`.
        rule: The rule.
        parameters: An instance of `rule.parameters`.
        severity: How bad it is to break it.
        source: Where it comes from.
        only: Which credentials it is for.
    """

    id: str
    rule: Rule
    parameters: Any
    severity: Severity
    source: str
    only: Scope = EVERYTHING


@dataclass(frozen=True, slots=True)
class Pack:
    """A list of rules with parameters and severities.

    Attributes:
        name: What findings are called after.
        title: What it is for, one sentence.
        rules: In the order of the file.
        inputs: What a manifest has to say to use it, each with its meaning.
    """

    name: str
    title: str
    rules: tuple[Active, ...]
    inputs: Mapping[str, str] = field(default_factory=dict)


def day(moment: datetime) -> str:
    """A moment as a day, for a text that must not run."""
    return f"{moment:%Y-%m-%d}"


def span(length: timedelta) -> str:
    """A length of time in its largest whole unit: `90 days`, `36 hours`, `5 minutes`."""
    seconds = int(length.total_seconds())
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            count = seconds // size
            return f"{count} {name}{'s' * (count != 1)}"
    return f"{seconds} seconds"


def listed(items: frozenset[str] | tuple[str, ...], most: int = 10) -> str:
    """Names in order, those beyond a bound counted."""
    names = sorted(items)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
