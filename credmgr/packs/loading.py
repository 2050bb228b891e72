"""Packs by name or file → active rules, or every mistake in all of them at once."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from credmgr.errors import ManifestError, Problem
from credmgr.manifest import messages
from credmgr.manifest.binding import bind
from credmgr.manifest.entry import Entry
from credmgr.manifest.forms import nearest
from credmgr.manifest.leaks import shown
from credmgr.manifest.manifest import PackUse
from credmgr.manifest.reading import read
from credmgr.manifest.tree import Trail, Tree
from credmgr.model.finding import Severity
from credmgr.packs.expressions import CelExpression, Refusal
from credmgr.packs.schema import OnlyEntry, PackEntry, RuleEntry
from credmgr.policy.custom import Custom, custom
from credmgr.policy.judging import Judge
from credmgr.policy.rule import EVERYTHING, Active, Pack, Rule, Scope
from credmgr.policy.rules.catalogue import CATALOGUE

SHIPPED: Final = ("caseforge", "cis", "default", "owasp-nhi", "pci-dss")
_PACKAGED: Final = Path(__file__).parent / "shipped"
_SOURCE: Final = Path(__file__).parents[2] / "policies"
_EXAMPLE: Final = "90d"
"""An input that any rule of ours takes, to show a pack whose inputs are not given."""
_OWN: Final = ("title", "remedy", "source", "severity")
"""What a rule of the pack's own has to say."""
_MODEL = TypeVar("_MODEL", bound=Entry)


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All rules in force.

    Attributes:
        packs: In the order of the manifest.
        digest: Changes with whatever they say.
    """

    packs: tuple[Pack, ...]
    digest: str

    def judge(self) -> Judge:
        """What puts them to a credential."""
        return Judge(self.packs)


@dataclass(slots=True)
class _Reading:
    """One pack as it is understood.

    Attributes:
        tree: What its file says.
        use: Where it is named, and its inputs.
        problems: What is wrong with it.
    """

    tree: Tree
    use: PackUse
    problems: list[Problem] = field(default_factory=list)


def load_packs(uses: Sequence[PackUse], home: Path) -> Rulebook:
    """The rules in force.

    Args:
        uses: The packs as a manifest names them.
        home: The folder from which files are found.

    Raises:
        ManifestError: Something is wrong; carries every mistake with its place.
    """
    digest, packs, problems = hashlib.sha256(), list[Pack](), list[Problem]()
    for use in uses:
        try:
            tree = _tree(use, home)
        except ManifestError as error:
            problems += error.problems
            continue
        digest.update(f"{tree.digest()} {sorted(use.inputs.items())}\n".encode())
        pack, mistakes = _pack(_Reading(tree, use))
        problems += mistakes
        if pack is not None:
            packs.append(pack)
    problems += _twice(packs, uses)
    if problems:
        raise ManifestError(problems)
    return Rulebook(tuple(packs), digest.hexdigest())


def shipped_file(name: str) -> Path:
    """The file of a pack that comes with credmgr: in the package, or in the source's folder."""
    packaged = _PACKAGED / f"{name}.yaml"
    return packaged if packaged.exists() else _SOURCE / f"{name}.yaml"


def shipped_packs() -> tuple[Pack, ...]:
    """Every pack that comes with credmgr; those that have inputs without their rules' parameters.

    Raises:
        ManifestError: One of them is damaged.
    """
    packs: list[Pack] = []
    for name in SHIPPED:
        tree = read(shipped_file(name), f"{name}.yaml")
        inputs = dict.fromkeys(tree.data.get("inputs", {}), _EXAMPLE)
        use = PackUse(name, inputs, tree.at(()))
        packs += load_packs([use], Path()).packs
    return tuple(packs)


def checked(tree: Tree, model: type[_MODEL], data: Any, at: Trail) -> _MODEL | list[Problem]:
    """A part of a file as its entry, or what is wrong with it."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        return list(messages.problems(error.errors(), tree, at, model))


def _tree(use: PackUse, home: Path) -> Tree:
    if use.pack.endswith((".yaml", ".yml")):
        return read(home / use.pack, use.pack)
    if use.pack not in SHIPPED:
        fix = nearest(use.pack, SHIPPED) or f"there are {', '.join(SHIPPED)}; or name a file"
        raise ManifestError([use.at.problem(f"no rule pack {shown(use.pack, 'like this')}", fix)])
    return read(shipped_file(use.pack), f"{use.pack}.yaml")


def _twice(packs: Sequence[Pack], uses: Sequence[PackUse]) -> Iterable[Problem]:
    seen: set[str] = set()
    for pack, use in zip(packs, uses, strict=False):
        if pack.name in seen:
            yield use.at.problem(f"two packs are called `{pack.name}`", "rename one of them")
        seen.add(pack.name)


def _pack(reading: _Reading) -> tuple[Pack | None, list[Problem]]:
    tree = reading.tree
    rules = tree.data.get("rules")
    items = rules if isinstance(rules, list) else []
    head = checked(tree, PackEntry, {**tree.data, "rules": []} if items else tree.data, ())
    if isinstance(head, list):
        return None, [*tree.problems, *head]
    reading.problems += [*tree.problems, *_inputs(head, reading.use)]
    if reading.problems:
        return None, reading.problems
    active: dict[str, Active] = {}
    for number, item in enumerate(items):
        one = _rule(reading, head, item, ("rules", number))
        if one is not None and one.id in active:
            spot = tree.at(("rules", number))
            reading.problems.append(
                spot.problem(f"`{one.id}` stands here twice", "give it an `id`")
            )
        elif one is not None:
            active[one.id] = one
    pack = Pack(head.pack, head.title, tuple(active.values()), head.inputs)
    return pack, reading.problems


def _inputs(head: PackEntry, use: PackUse) -> Iterable[Problem]:
    for name, meaning in head.inputs.items():
        if name not in use.inputs:
            fix = f"write {{pack: {use.pack}, inputs: {{{name}: …}}}}"
            yield use.at.problem(f"the pack {head.pack} needs `{name}`: {meaning}", fix)
    for name in sorted(use.inputs.keys() - head.inputs.keys()):
        what = f"the pack {head.pack} has no input {shown(name, 'like this')}"
        yield use.at.problem(what, nearest(name, head.inputs))


def _rule(reading: _Reading, head: PackEntry, item: Any, at: Trail) -> Active | None:
    entry = checked(reading.tree, RuleEntry, item, at)
    if isinstance(entry, list):
        reading.problems += entry
        return None
    known = CATALOGUE.get(entry.rule)
    if entry.when is not None:
        return _own(reading, head, entry, at)
    if known is None:
        spot = reading.tree.at((*at, "rule"))
        fix = nearest(entry.rule, CATALOGUE) or "a rule of your own needs `when`"
        reading.problems.append(spot.problem(f"no rule {shown(entry.rule, 'like this')}", fix))
        return None
    given = _filled(entry.parameters, reading.use.inputs)
    where = (*at, "parameters") if "parameters" in item else at
    parameters, mistakes = bind(known.parameters, given, reading.tree, where)
    reading.problems += mistakes
    return _active(head, entry, known, parameters)


def _own(reading: _Reading, head: PackEntry, entry: RuleEntry, at: Trail) -> Active | None:
    """A rule that the pack brings itself."""
    tree, found = reading.tree, list[Problem]()
    if entry.rule in CATALOGUE:
        spot = tree.at((*at, "rule"))
        found.append(spot.problem(f"`{entry.rule}` comes with credmgr", "choose another name"))
    for key in _OWN:
        if getattr(entry, key) is None:
            what = f"missing key `{key}` of a rule of your own"
            found.append(tree.at(at).problem(what, f"add `{key}: …`"))
    try:
        expression = CelExpression(entry.when or "")
    except Refusal as refusal:
        found.append(tree.at((*at, "when")).problem(refusal.what, refusal.fix))
        expression = None
    reading.problems += found
    if found or expression is None:
        return None
    title = entry.title or ""
    rule = Rule(
        code=entry.rule,
        title=title,
        severity=entry.severity or Severity.WARNING,
        remedy=_literal(entry.remedy or ""),
        source=entry.source or "",
        look=custom,
        reads=expression.reads,
        parameters=Custom,
    )
    text = entry.text or f"it breaks the rule: {title}"
    return _active(head, entry, rule, Custom(expression, text))


def _literal(remedy: str) -> str:
    """A remedy in which braces mean themselves, `{name}` apart."""
    doubled = remedy.replace("{", "{{").replace("}", "}}")
    return doubled.replace("{{name}}", "{name}")


def _active(head: PackEntry, entry: RuleEntry, rule: Rule, parameters: Any) -> Active:
    return Active(
        id=f"{head.pack}.{entry.id or entry.rule}",
        rule=rule,
        parameters=parameters,
        severity=entry.severity or rule.severity,
        source=entry.source or rule.source,
        only=_scope(entry.only or head.only),
    )


def _scope(only: OnlyEntry) -> Scope:
    scope = Scope(
        frozenset(only.environments), frozenset(only.kinds), only.issuers, only.owners, only.names
    )
    return EVERYTHING if scope == EVERYTHING else scope


def _filled(value: Any, inputs: Mapping[str, str]) -> Any:
    """Parameters with the pack's inputs in their places; one that is missing was told already."""
    match value:
        case str() if value.startswith("$"):
            return inputs.get(value[1:], value)
        case dict():
            return {key: _filled(each, inputs) for key, each in value.items()}
        case list():
            return [_filled(each, inputs) for each in value]
        case _:
            return value
