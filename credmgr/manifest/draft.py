"""The manifest half-way: what could be understood of it, so that every mistake is found at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from credmgr.errors import InvalidName, PluginError, Problem
from credmgr.manifest import building, messages, schema
from credmgr.manifest.binding import bind
from credmgr.manifest.catalogue import PluginCatalogue
from credmgr.manifest.entry import Entry
from credmgr.manifest.forms import nearest
from credmgr.manifest.leaks import shown
from credmgr.manifest.manifest import Configured
from credmgr.manifest.tree import Trail, Tree
from credmgr.model.consumer import Consumer
from credmgr.model.credential import Credential
from credmgr.model.token import TokenPlace
from credmgr.plugins.backend import BackendFactory, Mistake
from credmgr.plugins.issuer import IssuerFactory
from credmgr.plugins.loading import BACKENDS, ISSUERS, NOTIFIERS, SINKS
from credmgr.plugins.notifier import NotifierFactory
from credmgr.plugins.sink import SinkFactory

M = TypeVar("M", bound=Entry)

GROUPS: Final = {
    "backends": BACKENDS,
    "sinks": SINKS,
    "issuers": ISSUERS,
    "notifiers": NOTIFIERS,
}
_PLUGIN: Final = ("plugin",)


@dataclass(slots=True)
class Draft:
    """What has been understood so far; an entry with a mistake is missing from its mapping.

    Attributes:
        tree: What the files say, and where.
        home: The manifest's folder, absolute.
        problems: Every mistake found beyond those of the tree.
        root: The manifest's own sections, or None.
        backends: By name, likewise sinks, issuers and notifiers.
        credentials: By name.
        consumers: By name.
        variables: Of credentials, by name, where declared.
        tokens: Where their tokens are kept, likewise.
    """

    tree: Tree
    home: Path
    problems: list[Problem] = field(default_factory=list)
    root: schema.Root | None = None
    backends: dict[str, Configured[BackendFactory]] = field(default_factory=dict)
    sinks: dict[str, Configured[SinkFactory]] = field(default_factory=dict)
    issuers: dict[str, Configured[IssuerFactory]] = field(default_factory=dict)
    notifiers: dict[str, Configured[NotifierFactory]] = field(default_factory=dict)
    credentials: dict[str, Credential] = field(default_factory=dict)
    consumers: dict[str, Consumer] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, tuple[TokenPlace, ...]] = field(default_factory=dict)

    def section(self, name: str) -> Mapping[str, Any]:
        """What a section says, entry by entry; empty when it is missing or no mapping."""
        content = self.tree.data.get(name)
        return content if isinstance(content, dict) else {}


def understand(tree: Tree, home: Path, plugins: PluginCatalogue) -> Draft:
    """The tree against the schema and the plugins' options, entry by entry."""
    draft = Draft(tree, home)
    emptied: dict[str, Any] = {
        name: {} for name in schema.NAMED if isinstance(tree.data.get(name), dict)
    }
    draft.root = _checked(draft, schema.Root, {**tree.data, **emptied}, ())
    draft.backends = _configured(draft, "backends", plugins)
    draft.sinks = _configured(draft, "sinks", plugins)
    draft.issuers = _configured(draft, "issuers", plugins)
    draft.notifiers = _configured(draft, "notifiers", plugins)
    for name, entry in _entries(draft, "credentials", schema.CredentialEntry).items():
        _credential(draft, name, entry)
    for name, consumer in _entries(draft, "consumers", schema.ConsumerEntry).items():
        try:
            draft.consumers[name] = building.consumer(name, consumer)
        except InvalidName:
            continue  # the check of names tells it, with the place
    return draft


def _entries(draft: Draft, section: str, model: type[M]) -> dict[str, M]:
    return {
        name: checked
        for name, data in draft.section(section).items()
        if (checked := _checked(draft, model, data, (section, name)))
    }


def _checked(draft: Draft, model: type[M], data: Any, at: Trail) -> M | None:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        draft.problems += messages.problems(error.errors(), draft.tree, at, model)
        return None


def _configured(draft: Draft, section: str, plugins: PluginCatalogue) -> dict[str, Any]:
    found = {}
    for name, entry in _entries(draft, section, schema.PluginEntry).items():
        at = (section, name)
        factory = _factory(draft, GROUPS[section], entry.plugin, at, plugins)
        if factory is not None:
            options, problems = bind(factory.options, entry.options, draft.tree, at, _PLUGIN)
            mistakes = [] if problems else factory.validate(options)
            problems += mistaken(draft.tree, mistakes, at)
            draft.problems += problems
            if not problems:
                found[name] = Configured(entry.plugin, factory, options)
    return found


def _factory(
    draft: Draft, group: str, plugin: str, at: Trail, plugins: PluginCatalogue
) -> Any | None:
    spot = draft.tree.at((*at, "plugin"))
    try:
        names = plugins.names(group)
        if plugin in names:
            return plugins.factory(group, plugin)
    except PluginError as error:
        draft.problems.append(spot.problem(error.message, error.hint))
        return None
    fix = nearest(plugin, names) or f"installed: {', '.join(names) or 'none'}"
    draft.problems.append(spot.problem(f"no plugin {shown(plugin, 'of this name')}", fix))
    return None


def mistaken(tree: Tree, mistakes: Iterable[Mistake], at: Trail) -> list[Problem]:
    """What a plugin finds wrong, at the places of the options that it names."""
    found = []
    for mistake in mistakes:
        steps = [int(step) if step.isdecimal() else step for step in mistake.option.split(".")]
        trail = (*at, *steps) if mistake.option else at
        spot = tree.at(trail) if mistake.option else tree.key(trail)
        found.append(spot.problem(mistake.what, mistake.fix))
    return found


def _credential(draft: Draft, name: str, entry: schema.CredentialEntry) -> None:
    at = ("credentials", name)
    issuer = draft.issuers.get(entry.issuer)
    problems: list[Problem] = []
    if issuer:
        model = issuer.factory.credential_options
        _, problems = bind(model, entry.options, draft.tree, (*at, "options"))
    try:
        credential = building.credential(name, entry, entry.options)
    except InvalidName:
        draft.problems += problems  # the check of names tells the rest, with the place
        return
    if issuer and not problems:
        mistakes = issuer.factory.validate_credential(issuer.options, credential)
        problems = mistaken(draft.tree, mistakes, at)
    draft.problems += problems
    draft.credentials[name] = credential
    if entry.env is not None:
        draft.variables[name] = entry.env
    if entry.tokens:
        draft.tokens[name] = tuple(building.token_place(one, name) for one in entry.tokens)
