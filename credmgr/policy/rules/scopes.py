"""Rules about what a credential may do: allowed, asked for, needed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

from credmgr.model.finding import Severity
from credmgr.model.subject import Subject
from credmgr.policy.rule import Answer, Found, Nothing, Rule, listed, span

NINETY_DAYS: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Parameters of `scope-outside`.

    Attributes:
        allowed: The scopes that may be had, each with its meaning.
    """

    allowed: Mapping[str, str]


def scope_outside(subject: Subject, catalogue: Allowed, _: datetime) -> Answer:
    """No credential has a scope that it must not have."""
    outside = subject.scopes - catalogue.allowed.keys()
    return Found(f"it has scopes outside the allowed set: {listed(outside)}") if outside else None


@dataclass(frozen=True, slots=True)
class Unused:
    """Parameters of `scope-unused`.

    Attributes:
        after: How long a scope may go without being asked for, while others are.
    """

    after: timedelta = NINETY_DAYS


def scope_unused(subject: Subject, seen: Unused, now: datetime) -> Answer:
    """What was never needed is not granted."""
    if subject.first_asked is None:
        return None  # nobody takes tokens of it from credmgr, so nothing is known
    idle, until = frozenset[str](), None
    for scope, end in _ends(subject, seen.after):
        if end <= now:
            idle |= {scope}
        elif until is None or end < until:
            until = end
    if not idle:
        return until
    return Found(f"scopes not asked for in {span(seen.after)}: {listed(idle)}", None, until)


def _ends(subject: Subject, after: timedelta) -> Iterator[tuple[str, datetime]]:
    """When each scope will have been idle for so long."""
    first = max(subject.first_asked or subject.applied_at, subject.applied_at)
    for scope in subject.scopes:
        yield scope, max(subject.asked.get(scope, first), first) + after


@dataclass(frozen=True, slots=True)
class Many:
    """Parameters of `many-scopes`.

    Attributes:
        limit: How many scopes one credential may have.
    """

    limit: int = 5


def many_scopes(subject: Subject, at_most: Many, _: datetime) -> Answer:
    """One credential does not open everything."""
    if len(subject.scopes) <= at_most.limit:
        return None
    return Found(f"it has {len(subject.scopes)} scopes, {at_most.limit} are the limit")


@dataclass(frozen=True, slots=True)
class Writing:
    """Parameters of `write-unneeded`.

    Attributes:
        patterns: What a scope that changes things looks like; `*` stands for any text.
        after: How long it may go without being asked for.
    """

    patterns: tuple[str, ...] = ("*:write", "*.write", "*:admin")
    after: timedelta = timedelta(days=30)


def write_unneeded(subject: Subject, writes: Writing, now: datetime) -> Answer:
    """Who only reads may not write."""
    if not subject.scopes:
        return None
    writing = frozenset(
        scope for scope in subject.scopes if any(fnmatchcase(scope, p) for p in writes.patterns)
    )
    if not writing:
        return None
    answer = scope_unused(subject._replace(scopes=writing), Unused(writes.after), now)
    if not isinstance(answer, Found):
        return answer
    return answer._replace(text=answer.text.replace("scopes not", "scopes that write, not", 1))


@dataclass(frozen=True, slots=True)
class Pairs:
    """Parameters of `scope-pair`.

    Attributes:
        apart: Scopes that no single application should hold together, each pair with its reason.
    """

    apart: Mapping[str, str] = field(default_factory=dict)


def scope_pair(subject: Subject, kept: Pairs, _: datetime) -> Answer:
    """Who may do one thing may not approve it."""
    if not subject.scopes:
        return None
    held = [
        (pair, why) for pair, why in kept.apart.items() if subject.scopes.issuperset(_two(pair))
    ]
    told = "; ".join(f"{' with '.join(_two(pair))} ({why})" for pair, why in held)
    return Found(f"it holds together what belongs apart: {told}") if held else None


def _two(pair: str) -> list[str]:
    return pair.split()


def token_scopes(subject: Subject, _: Nothing, __: datetime) -> Answer:
    """A token has the scopes that were asked for."""
    more, fewer = subject.unasked, subject.missing
    if not more and not fewer:
        return None
    parts = [f"with {listed(more)} unasked"] * bool(more)
    parts += [f"without {listed(fewer)}"] * bool(fewer)
    return Found(f"a token came back {' and '.join(parts)}", Severity.CRITICAL if more else None)


@dataclass(frozen=True, slots=True)
class TokenLife:
    """Parameters of `token-life`.

    Attributes:
        limit: The longest that a token may live.
    """

    limit: timedelta = timedelta(hours=1)


def token_life(subject: Subject, at_most: TokenLife, _: datetime) -> Answer:
    """A stolen token is worthless soon."""
    life = subject.token_life
    if life is None or life <= at_most.limit:
        return None
    return Found(f"its tokens live {span(life)}, {span(at_most.limit)} are allowed")


RULES: Final = (
    Rule(
        code="scope-outside",
        title="No credential has a scope outside the allowed set.",
        severity=Severity.WARNING,
        remedy="take the scopes out of {name} in the manifest, and of its application",
        source="OWASP NHI5:2025 Overprivileged NHI; RFC 9700 §2.3",
        look=scope_outside,
        reads=("scopes",),
        parameters=Allowed,
    ),
    Rule(
        code="scope-unused",
        title="A scope that nobody asks for is not granted.",
        severity=Severity.INFO,
        remedy="credmgr policy explain {name} shows the smaller list to put into the manifest",
        source="OWASP NHI5:2025 Overprivileged NHI; NIST SP 800-53 AC-6(7)",
        look=scope_unused,
        reads=("scopes", "asked", "first_asked", "applied_at"),
        parameters=Unused,
    ),
    Rule(
        code="many-scopes",
        title="One credential does not open everything.",
        severity=Severity.WARNING,
        remedy="take out of {name} in the manifest what it does not need, and apply; or split it"
        " into applications of their own",
        source="OWASP NHI5:2025 Overprivileged NHI; NIST SP 800-53 AC-6",
        look=many_scopes,
        reads=("scopes",),
        parameters=Many,
    ),
    Rule(
        code="write-unneeded",
        title="Who only reads may not write.",
        severity=Severity.WARNING,
        remedy="credmgr policy explain {name} shows the smaller list to put into the manifest",
        source="NIST SP 800-53 AC-6; RFC 9700 §2.3",
        look=write_unneeded,
        reads=("scopes", "asked", "first_asked", "applied_at"),
        parameters=Writing,
    ),
    Rule(
        code="scope-pair",
        title="Nobody holds together what belongs apart.",
        severity=Severity.WARNING,
        remedy="give the two to applications of their own, and take one out of {name}",
        source="NIST SP 800-53 AC-5 Separation of Duties",
        look=scope_pair,
        reads=("scopes",),
        parameters=Pairs,
    ),
    Rule(
        code="token-scopes",
        title="A token has the scopes that were asked for.",
        severity=Severity.WARNING,
        remedy="compare the scopes of {name} with those of its application at the issuer",
        source="RFC 6749 §3.3 and §5.1",
        look=token_scopes,
        reads=("unasked", "missing"),
    ),
    Rule(
        code="token-life",
        title="A stolen token is worthless soon.",
        severity=Severity.WARNING,
        remedy="shorten the life of tokens at the issuer of {name}",
        source="RFC 6750 §5.3: one hour or less",
        look=token_life,
        reads=("token_life",),
        parameters=TokenLife,
    ),
)
