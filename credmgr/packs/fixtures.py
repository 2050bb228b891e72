"""What a pack's author tries it with: made-up credentials, and what the pack finds of each."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from credmgr.errors import ManifestError, Problem
from credmgr.manifest.forms import nearest
from credmgr.manifest.manifest import PackUse
from credmgr.manifest.reading import read
from credmgr.manifest.tree import Spot
from credmgr.model.finding import Severity
from credmgr.model.names import Name
from credmgr.model.subject import Subject
from credmgr.packs.loading import checked, load_packs
from credmgr.packs.schema import CaseEntry, CredentialCase, FixtureEntry
from credmgr.policy.judging import Judge

SOME_DAY: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Case:
    """How one case went.

    Attributes:
        name: What it shows.
        at: Where it stands.
        differences: What was found and should not, or was not and should; empty when all is well.
    """

    name: str
    at: Spot
    differences: tuple[str, ...]


def run_fixtures(path: Path) -> tuple[Case, ...]:
    """Put each case of a file to its pack.

    Raises:
        ManifestError: The file or the pack is wrong; carries every mistake with its place.
    """
    tree = read(path, str(path))
    items = tree.data.get("cases")
    cases = items if isinstance(items, list) else []
    head = checked(tree, FixtureEntry, {**tree.data, "cases": []} if cases else tree.data, ())
    if isinstance(head, list):
        raise ManifestError([*tree.problems, *head])
    use = PackUse(head.pack, head.inputs, tree.at(("pack",)))
    judge = load_packs([use], path.parent).judge()
    problems, done = list(tree.problems), list[Case]()
    for number, item in enumerate(cases):
        at = ("cases", number)
        entry = checked(tree, CaseEntry, item, at)
        if isinstance(entry, list):
            problems += entry
            continue
        problems += _unknown(entry, judge, tree.at((*at, "finds")))
        done.append(Case(entry.case, tree.at(at), _differences(entry, judge)))
    if problems:
        raise ManifestError(problems)
    return tuple(done)


def _expected(entry: CaseEntry) -> dict[str, Severity | None]:
    return entry.finds if isinstance(entry.finds, dict) else dict.fromkeys(entry.finds)


def _unknown(entry: CaseEntry, judge: Judge, spot: Spot) -> list[Problem]:
    known = {rule.id.partition(".")[2] for pack in judge.packs for rule in pack.rules}
    strange = [name for name in _expected(entry) if name not in known]
    return [spot.problem(f"the pack has no rule `{one}`", nearest(one, known)) for one in strange]


def _differences(entry: CaseEntry, judge: Judge) -> tuple[str, ...]:
    now = entry.now or SOME_DAY
    found = {
        rule.id.partition(".")[2]: (answer.severity or rule.severity, answer.text)
        for rule, answer in judge.judge(subject_of(entry.credential, now), now).found
    }
    wanted = _expected(entry)
    wrong = [f"{one} finds nothing, and should" for one in wanted.keys() - found.keys()]
    wrong += [f"{one} finds: {found[one][1]}" for one in found.keys() - wanted.keys()]
    for one in wanted.keys() & found.keys():
        if wanted[one] not in (None, found[one][0]):
            wrong.append(f"{one} is {found[one][0]}, and should be {wanted[one]}")
    return tuple(sorted(wrong))


def subject_of(case: CredentialCase, now: datetime) -> Subject:
    """The made-up credential at a moment."""
    asked = {scope: now - ago for scope, ago in case.asked.items()}
    since = None if case.asking_since is None else now - case.asking_since
    return Subject(
        name=Name(case.name),
        kind=case.kind,
        environment=case.environment,
        issuer=case.issuer,
        owner=case.owner,
        scopes=frozenset(case.scopes),
        applied_at=now - case.declared,
        every=case.every,
        scheduled=not case.manual,
        issued_at=None if case.age is None else now - case.age,
        expires_at=None if case.expires_in is None else now + case.expires_in,
        key_type=case.key_type,
        rotation=case.rotation,
        rotation_since=now - case.rotation_age if case.rotation else None,
        first_asked=since or min(asked.values(), default=None),
        last_used=None if case.used is None else now - case.used,
        asked=asked,
        twins=case.twins,
        strays=case.strays,
        drifted=case.drifted,
        unasked=case.unasked,
        missing=case.missing,
        token_life=case.token_life,
    )
