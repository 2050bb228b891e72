"""SARIF 2.1.0, the form in which code hosts and auditors take results from tools.

What is written is what OASIS' specification demands and GitHub reads; nothing is written that is
empty. The same finding has the same `partialFingerprints` in every run, so that it is one alert.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

VERSION: Final = "2.1.0"
SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
IDENTITY: Final = "credmgr/v1"
"""The key of our fingerprint; versioned, as section 3.27.17 asks."""
ROOT: Final = "SRCROOT"
"""What relative paths are relative to; whoever reads the log knows where that is."""
_BETWEEN: Final = "\x1f"


class Level(StrEnum):
    """How bad a result is (section 3.27.10)."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Rule:
    """What was looked for.

    Attributes:
        id: Stable, as it stands in a finding's key: `secret-age`.
        summary: One sentence.
        level: How bad a result of it is, unless the result says otherwise.
        help: What to do about one, plain text; may be empty.
        uri: Where more is told; may be empty.
        severity: 0.0 to 10.0, by which GitHub sorts security alerts; None leaves it out.
    """

    id: str
    summary: str
    level: Level = Level.WARNING
    help: str = ""
    uri: str = ""
    severity: float | None = None


@dataclass(frozen=True, slots=True)
class InFile:
    """A place in a file.

    Attributes:
        path: Relative paths are relative to the root of the source.
        line: From 1; 0 for the file as a whole.
    """

    path: PurePath
    line: int = 0


@dataclass(frozen=True, slots=True)
class Thing:
    """A place that is no file: a credential, a consumer.

    Attributes:
        name: What it is called.
        kind: What it is, one word.
    """

    name: str
    kind: str = "resource"


@dataclass(frozen=True, slots=True)
class Suppression:
    """That somebody decided to live with a result.

    Attributes:
        why: The reason.
        in_source: Whether the decision stands beside the result itself.
    """

    why: str
    in_source: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """One thing that was found.

    Attributes:
        rule: By which rule; the id of one that the log lists.
        text: One sentence or more.
        where: Where, the chief place first.
        identity: What makes it the same result in the next run: no line number, no time.
        level: How bad; None takes the rule's.
        facts: Ids, names, fingerprints; never a value.
        suppressed: That it is accepted; None while it is not.
    """

    rule: str
    text: str
    where: Sequence[InFile | Thing]
    identity: Sequence[str]
    level: Level | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    suppressed: Suppression | None = None


def log(
    rules: Sequence[Rule],
    results: Iterable[Result],
    *,
    version: str,
    notices: Sequence[str] = (),
) -> dict[str, Any]:
    """A whole SARIF log with one run, ready for `json.dumps`.

    Args:
        rules: Every rule that was applied, those without a result too.
        results: What was found.
        version: credmgr's own.
        notices: What could not be looked at, one sentence each.

    Raises:
        KeyError: A result names a rule that is not listed.
    """
    places = {rule.id: place for place, rule in enumerate(rules)}
    levels = {rule.id: rule.level for rule in rules}
    driver = {
        "name": "credmgr",
        "semanticVersion": version,
        "rules": [_rule(rule) for rule in rules],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [_invocation(notices)],
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, places[one.rule], levels[one.rule]) for one in results],
    }
    return {"$schema": SCHEMA, "version": VERSION, "runs": [run]}


def _invocation(notices: Sequence[str]) -> dict[str, Any]:
    said = [{"level": "warning", "message": {"text": text}} for text in notices]
    return {"executionSuccessful": True} | _unless_empty(toolExecutionNotifications=said)


def _rule(rule: Rule) -> dict[str, Any]:
    shown = {
        "id": rule.id,
        "shortDescription": {"text": rule.summary},
        "defaultConfiguration": {"level": rule.level.value},
    }
    properties: dict[str, Any] = {"tags": ["security"]}
    if rule.severity is not None:
        properties["security-severity"] = f"{rule.severity:.1f}"
    helped = {"text": rule.help} if rule.help else None
    return shown | _unless_empty(help=helped, helpUri=rule.uri) | {"properties": properties}


def _result(result: Result, place: int, usual: Level) -> dict[str, Any]:
    shown = {
        "ruleId": result.rule,
        "ruleIndex": place,
        "level": (result.level or usual).value,
        "message": {"text": result.text},
        "locations": [_location(where) for where in result.where],
        "partialFingerprints": {IDENTITY: fingerprint(result.rule, *result.identity)},
    }
    suppressions = [_suppression(result.suppressed)] if result.suppressed else []
    return shown | _unless_empty(suppressions=suppressions, properties=dict(result.facts))


def fingerprint(*parts: str) -> str:
    """What tells one result from others in every run: a hash of names, never of a value."""
    return hashlib.sha256(_BETWEEN.join(parts).encode()).hexdigest()[:32]


def _suppression(suppression: Suppression) -> dict[str, Any]:
    kind = "inSource" if suppression.in_source else "external"
    return {"kind": kind, "status": "accepted", "justification": suppression.why}


def _location(where: InFile | Thing) -> dict[str, Any]:
    if isinstance(where, Thing):
        name = {"fullyQualifiedName": where.name, "kind": where.kind}
        return {"logicalLocations": [name]}
    region = {"startLine": where.line} if where.line else None
    artifact = {"artifactLocation": _artifact(where.path)}
    return {"physicalLocation": artifact | _unless_empty(region=region)}


def _artifact(path: PurePath) -> dict[str, Any]:
    """A path as a URI, as bytes that are no UTF-8 have it too."""
    uri = quote(path.as_posix(), errors="surrogateescape")
    return {"uri": f"file://{uri}"} if path.is_absolute() else {"uri": uri, "uriBaseId": ROOT}


def _unless_empty(**parts: Any) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if part}
