"""What types alone cannot say of backends, sinks, and where copies are."""

from collections.abc import Iterator
from typing import Any, Final

from credmgr.errors import Problem
from credmgr.manifest.draft import Draft
from credmgr.manifest.leaks import shown
from credmgr.manifest.manifest import Configured
from credmgr.manifest.tree import Spot, Trail
from credmgr.manifest.walking import Check, mappings, placed, targets, unknown
from credmgr.model.credential import Drift, Place
from credmgr.plugins.backend import Capability, spelled


def sinks_are_not_called_as_backends(draft: Draft) -> Iterator[Problem]:
    """A target's name says where it is, so backends and sinks share one name space."""
    for name in draft.section("sinks"):
        if name in draft.section("backends"):
            what = f"{shown(name, 'this name')} is declared as a backend too"
            other = draft.tree.key(("backends", name))
            yield draft.tree.key(("sinks", name)).problem(what, f"rename one; see {other}")


def stores_exist(draft: Draft) -> Iterator[Problem]:
    """Every store is in a backend that is declared."""
    for at, entry in mappings(draft, "credentials"):
        store: Any = entry.get("store")
        if isinstance(store, dict):
            yield from _not_there(
                draft, "backends", store.get("backend"), (*at, "store", "backend")
            )
        else:
            yield from _not_there(draft, "backends", store, (*at, "store"))


def stores_keep_versions(draft: Draft) -> Iterator[Problem]:
    """What keeps only one value cannot be a store: an aborted rotation could not go back."""
    for credential in draft.credentials.values():
        one = draft.backends.get(credential.store.backend)
        if one is not None and Capability.VERSIONS not in one.factory.capabilities:
            spot, place = next(placed(draft, credential))
            what = f"`{place.backend}` keeps no earlier value, so it can be no store"
            yield spot.problem(what, "make it a target")


def targets_exist(draft: Draft) -> Iterator[Problem]:
    """Every target is in a backend or sink that is declared, and called what it is."""
    for trail, target in targets(draft):
        if isinstance(target, dict):
            for section in ("backends", "sinks"):
                key = section.removesuffix("s")
                yield from _not_there(draft, section, target.get(key), (*trail, key))
        else:
            sections = ["backends", *(["sinks"] if draft.section("sinks") else [])]
            yield from unknown(draft, sections, target, trail)


def _not_there(draft: Draft, section: str, name: Any, trail: Trail) -> Iterator[Problem]:
    """A name that is not in its section; in the other of the two it is told so."""
    other = "sinks" if section == "backends" else "backends"
    if (
        isinstance(name, str)
        and name in draft.section(other)
        and name not in draft.section(section)
    ):
        word = other.removesuffix("s")
        fix = f"write {{{word}: {name}}}" if "targets" in trail else "a sink cannot be read back"
        yield draft.tree.at(trail).problem(f"{shown(name, 'this')} is a {word}", fix)
    else:
        yield from unknown(draft, [section], name, trail)


def sinks_are_not_imported_from(draft: Draft) -> Iterator[Problem]:
    """What cannot be read cannot be imported."""
    for trail, target in targets(draft):
        if isinstance(target, dict) and target.get("drift") == Drift.IMPORT and "sink" in target:
            spot = draft.tree.at((*trail, "drift"))
            yield spot.problem("a sink cannot be read back", "write `report` or `repair`")


def places_are_not_shared(draft: Draft) -> Iterator[Problem]:
    """No two copies are written to one place."""
    first: dict[Place, Spot] = {}
    for credential in draft.credentials.values():
        for spot, place in placed(draft, credential):
            if place in first:
                what = f"`{place}` is written by another copy already"
                yield spot.problem(what, f"see {first[place]}")
            first.setdefault(place, spot)


def names_fit_every_place(draft: Draft) -> Iterator[Problem]:
    """No copy has a name longer than its backend or sink takes."""
    known: dict[str, Configured[Any]] = {**draft.sinks, **draft.backends}
    for credential in draft.credentials.values():
        for spot, place in placed(draft, credential):
            if (one := known.get(place.backend)) is None:
                continue
            takes = one.factory.limits.name_length
            there = spelled(one.factory, one.options, place.name)
            if len(there) > takes:
                inside = "" if there == place.name else " as it is spelled there"
                what = f"the name is {len(there)} characters long{inside}"
                word = "backend" if place.backend in draft.backends else "sink"
                fix = f"write {{{word}: {place.backend}, name: …}}"
                yield spot.problem(f"{what}, `{place.backend}` takes {takes}", fix)


PLACE_CHECKS: Final[tuple[Check, ...]] = (
    sinks_are_not_called_as_backends,
    stores_exist,
    stores_keep_versions,
    targets_exist,
    sinks_are_not_imported_from,
    places_are_not_shared,
    names_fit_every_place,
)
