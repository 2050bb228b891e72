"""Ways through a draft that several checks take."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from credmgr.errors import Problem
from credmgr.manifest.draft import Draft
from credmgr.manifest.forms import nearest
from credmgr.manifest.leaks import shown
from credmgr.manifest.tree import Spot, Trail
from credmgr.model.credential import Credential, Place

Check: TypeAlias = Callable[[Draft], Iterator[Problem]]


def unknown(draft: Draft, sections: Sequence[str], name: Any, trail: Trail) -> Iterator[Problem]:
    """A name that none of the sections has."""
    declared = {known for section in sections for known in draft.section(section)}
    if isinstance(name, str) and name and name not in declared:
        sort = " or ".join(section.removesuffix("s") for section in sections)
        what = f"no {sort} {shown(name, 'of this name')}"
        known = ", ".join(shown(other, "…") for other in sorted(declared)[:8])
        fix = nearest(name, declared) or (f"declared: {known}" if known else None)
        yield draft.tree.at(trail).problem(what, fix)


def written(draft: Draft, trail: Trail) -> Spot:
    """Where something stands; where its absence is to be told when it does not."""
    tree = draft.tree
    return tree.at(trail) if tree.knows(trail) else tree.key(trail)


def placed(draft: Draft, credential: Credential) -> Iterator[tuple[Spot, Place]]:
    """Every copy of a credential, with where the manifest asks for it."""
    at: Trail = ("credentials", credential.name)
    yield draft.tree.at((*at, "store")), credential.store
    for number, target in enumerate(credential.targets):
        yield draft.tree.at((*at, "targets", number)), target.place
    for number, token in enumerate(draft.tokens.get(credential.name, ())):
        yield draft.tree.at((*at, "tokens", number)), token.place


def mappings(draft: Draft, section: str) -> Iterator[tuple[Trail, dict[str, Any]]]:
    """The entries of a section that are mappings."""
    for name, entry in draft.section(section).items():
        if isinstance(entry, dict):
            yield (section, name), entry


def targets(draft: Draft) -> Iterator[tuple[Trail, Any]]:
    """Whatever is to be written somewhere: copies of secrets, and tokens."""
    for at, entry in mappings(draft, "credentials"):
        for key in ("targets", "tokens"):
            listed = entry.get(key)
            for number, target in enumerate(listed if isinstance(listed, list) else ()):
                yield (*at, key, number), target


def routes(draft: Draft) -> Iterator[tuple[int, dict[str, Any]]]:
    """The routes of alerts, with their numbers."""
    listed = draft.section("alerts").get("routes")
    for number, route in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(route, dict):
            yield number, route


def grants(draft: Draft) -> Iterator[tuple[Trail, dict[str, Any]]]:
    """The grants of all consumers."""
    for at, entry in mappings(draft, "consumers"):
        listed = entry.get("grants")
        for number, grant in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(grant, dict):
                yield (*at, "grants", number), grant


def texts(items: Any) -> Iterable[tuple[int, str]]:
    """The texts of what should be a list of them, with their numbers."""
    listed = items if isinstance(items, list) else ()
    return [(number, item) for number, item in enumerate(listed) if isinstance(item, str)]
