"""What was found, for a person, a script and a code host; never with a value."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from credmgr import sarif
from credmgr.logs import redacted
from credmgr.scan.allowing import Baseline
from credmgr.scan.others import Other
from credmgr.scan.scanning import Found
from credmgr.scan.shapes import LIVE, REVOKED, SHAPES

_LEVELS: Final = {shape.rule: shape.level for shape in (LIVE, *SHAPES, REVOKED)}
_SEVERITIES: Final = {shape.rule: shape.severity for shape in (LIVE, *SHAPES, REVOKED)}
_HELP: Final = {
    LIVE.rule: "Run `credmgr revoke NAME --leaked`, then take it out of where it was found.",
    REVOKED.rule: "It logs in nowhere any more; nothing has to be done.",
}
_MEND: Final = "Replace it where it was issued, then refer to a store instead of writing it down."
_SAID: Final = frozenset({"rule", "level", "path", "line", "what", "accepted"})
_OTHERS: Final = "others/"
_RULE_CHARACTERS: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Line:
    """One finding of a scan, as it is told.

    Attributes:
        rule: The id of its rule.
        level: How bad it is.
        path: The file, archives' members behind a `!`.
        line: From 1; 0 where there is none.
        what: What it is.
        shown: What may be seen of it: prefix and length.
        fingerprint: Keyed hash; empty without an installation.
        note: Of the place: a layer; a coding.
        commit: Of the commit that brought it; empty for what lies on the disk.
        at: When that was made.
        author: Who made it.
        more: How often the same value is there again in the same file.
        credential: Whose secret it is, or empty.
        version: Which version, or empty.
        consumer: Whose bearer it is, or empty.
        accepted: Why it may stand there; empty when it may not.
        in_source: Whether that is said beside it.
        hash: Known again in a baseline by this.
    """

    rule: str
    level: sarif.Level
    path: str
    line: int
    what: str
    shown: str
    fingerprint: str = ""
    note: str = ""
    commit: str = ""
    at: str = ""
    author: str = ""
    more: int = 0
    credential: str = ""
    version: str = ""
    consumer: str = ""
    accepted: str = ""
    in_source: bool = False
    hash: str = ""

    @property
    def counts(self) -> bool:
        """Whether it makes a scan fail: neither accepted, nor dead."""
        return not self.accepted and self.level is not sarif.Level.NOTE

    @property
    def entry(self) -> tuple[str, str, str]:
        """How a baseline has it."""
        return self.rule, self.path, self.hash

    def facts(self) -> dict[str, Any]:
        """For a script; what is empty is left out."""
        names = (
            *("rule", "level", "path", "line", "what", "shown", "fingerprint", "note", "commit"),
            *("at", "author", "more", "credential", "version", "consumer", "accepted"),
        )
        said = {name: getattr(self, name) for name in names}
        return {name: value for name, value in said.items() if value}


def lines(found: Iterable[Found], others: Iterable[Other], baseline: Baseline) -> Sequence[Line]:
    """Everything that was found, the worst first, then by place."""
    made = [_of_found(one, baseline) for one in found] + [
        _of_other(one, baseline) for one in others
    ]
    order = (sarif.Level.ERROR, sarif.Level.WARNING, sarif.Level.NOTE)
    return sorted(made, key=lambda one: (order.index(one.level), one.path, one.line))


def _of_found(found: Found, baseline: Baseline) -> Line:
    match, where, commit = found.match, found.where, found.where.commit
    path = redacted(where.text)
    known = (match.rule, path, match.digest) in baseline.entries
    live = match.owned is not None and match.owned.lives
    reason = found.allowed.reason if found.allowed else ""
    coding = f"as {' in '.join(reversed(match.coding))}" if match.coding else ""
    return Line(
        rule=match.rule,
        level=_LEVELS[match.rule],
        path=path,
        line=found.line,
        what=_what(found),
        shown=f"{match.shown}… ({match.length} characters)",
        fingerprint=match.fingerprint,
        note="; ".join(said for said in (where.note, coding) if said),
        commit=commit.id if commit else "",
        at=commit.at.isoformat() if commit else "",
        author=redacted(commit.author) if commit else "",
        more=len(found.also),
        credential=match.owned.credential if match.owned else "",
        version=str(match.owned.version) if match.owned else "",
        consumer=match.consumer or "",
        accepted="" if live else reason or ("in the baseline" if known else ""),
        in_source=bool(reason),
        hash=match.digest,
    )


def _what(found: Found) -> str:
    match = found.match
    if match.owned is not None:
        name = f"{match.owned.credential} {match.owned.secret_id}"
        said = f"the {match.owned.status} secret of {name}"
    elif match.consumer is not None:
        said = f"the bearer of {match.consumer}, that is let in"
    else:
        said = match.what
    if found.allowed is not None and not found.allowed.reason:
        said += "; `credmgr:allow` needs a reason behind it"
    return said


def _of_other(other: Other, baseline: Baseline) -> Line:
    rule = _OTHERS + _RULE_CHARACTERS.sub("-", other.rule)
    path = redacted(other.path)
    known = (rule, path, other.hash) in baseline.entries
    return Line(
        rule=rule,
        level=sarif.Level.ERROR,
        path=path,
        line=other.line,
        what=other.what,
        shown="…",
        commit=other.commit,
        at=other.at,
        author=other.author,
        accepted="in the baseline" if known else "",
        hash=other.hash,
    )


def as_sarif(found: Sequence[Line], notices: Sequence[str], version: str) -> dict[str, Any]:
    """The same for a code host."""
    rules = [
        sarif.Rule(
            shape.rule,
            f"Found {shape.what}.",
            shape.level,
            _HELP.get(shape.rule, _MEND),
            severity=shape.severity,
        )
        for shape in (LIVE, *SHAPES, REVOKED)
    ]
    foreign = {one.rule: one.what for one in found if one.rule.startswith(_OTHERS)}
    rules += [
        sarif.Rule(rule, f"Found {what}.", sarif.Level.ERROR, _MEND, severity=8.0)
        for rule, what in sorted(foreign.items())
    ]
    results = [_result(one) for one in found]
    return sarif.log(rules, results, version=version, notices=notices)


def _result(line: Line) -> sarif.Result:
    accepted = sarif.Suppression(line.accepted, in_source=line.in_source) if line.accepted else None
    return sarif.Result(
        rule=line.rule,
        text=f"Found {line.what}: {line.shown}.",
        where=(sarif.InFile(PurePath(line.path), line.line),),
        identity=(line.path, line.version or line.fingerprint or _foreign(line) or line.shown),
        facts={key: value for key, value in line.facts().items() if key not in _SAID},
        suppressed=accepted,
    )


def _foreign(line: Line) -> str:
    """Kingfisher's hash, which is the same in every run; ours has a salt."""
    return line.hash if line.rule.startswith(_OTHERS) else ""
