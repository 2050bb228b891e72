"""credmgr's own identity is never what it rotates.

Its master key, admin tokens, keyring and state database are what it gets at everything else with; a
credential written over one of them, or rotating the client that credmgr itself signs in as, locks
it out of its own house.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from credmgr.errors import Problem
from credmgr.manifest import building
from credmgr.manifest.draft import Draft
from credmgr.manifest.manifest import Configured
from credmgr.manifest.walking import placed

_FILE: Final = "file:"
_SQLITE: Final = "sqlite:///"


def own_files_are_not_targets(draft: Draft) -> Iterator[Problem]:
    """No copy is written where credmgr keeps what it signs in with."""
    exposed = _exposed(draft, draft.backends)
    for credential in draft.credentials.values():
        for spot, place in placed(draft, credential):
            for steps, what in exposed.get(place.backend, ()):
                if not steps or steps[: len(place.name.segments)] == place.name.segments:
                    yield spot.problem(
                        f"`{place}` is where credmgr's own {what} lies",
                        "give the copy another place",
                    )
                    break


def sinks_lie_apart(draft: Draft) -> Iterator[Problem]:
    """No sink writes into a folder that holds what credmgr itself lives on."""
    for name, exposed in _exposed(draft, draft.sinks).items():
        for _, what in exposed[:1]:
            spot = draft.tree.at(("sinks", name, "path"))
            yield spot.problem(
                f"credmgr's own {what} lies within it", "give the sink a folder of its own"
            )


def own_clients_are_not_rotated(draft: Draft) -> Iterator[Problem]:
    """No credential has the client id that credmgr itself signs in with."""
    own = {
        client: name
        for name, issuer in draft.issuers.items()
        if isinstance(client := getattr(issuer.options, "client_id", None), str)
    }
    for credential in draft.credentials.values():
        if credential.client_id in own:
            spot = draft.tree.at(("credentials", credential.name, "client_id"))
            issuer = own[str(credential.client_id)]
            what = f"credmgr itself signs in to `{issuer}` with this client_id"
            yield spot.problem(what, "give the credential a client of its own")


def _exposed(
    draft: Draft, plugins: Mapping[str, Configured[Any]]
) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """By backend or sink, our own files that lie within what is written: the steps and what it is.

    No steps means that the backend writes that very file.
    """
    own = [(_real(path), what) for path, what in _own_files(draft)]
    return {
        name: [
            (path.relative_to(root).parts, what)
            for root in (_real(draft.home / base) for base in _paths(backend.options))
            for path, what in own
            if path.is_relative_to(root)
        ]
        for name, backend in plugins.items()
    }


def _own_files(draft: Draft) -> Iterator[tuple[Path, str]]:
    """Every file that credmgr itself lives on, and what it is."""
    if draft.root:
        state = building.state(draft.root.state, draft.home)
        yield state.keyring, "keyring"
        yield state.checkpoint, "audit checkpoint"
        if state.database.startswith(_SQLITE):
            yield Path(state.database.removeprefix(_SQLITE)), "state database"
        for reference, what in (
            (state.master_key, "master key"),
            (state.database_password or "", "database password"),
        ):
            yield from _referenced(draft, reference, what)
    for section in (draft.backends, draft.sinks, draft.issuers, draft.notifiers):
        for name, configured in section.items():
            for option, value in _options(configured.options):
                yield from _referenced(draft, value, f"{name}.{option}")


def _referenced(draft: Draft, value: Any, what: str) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str) and value.startswith(_FILE):
        yield draft.home / value.removeprefix(_FILE), what


def _paths(options: Any) -> Iterator[str]:
    """The options of a backend or sink that say where it writes."""
    for name, value in _options(options):
        if isinstance(value, Path) or (name == "path" and isinstance(value, str)):
            yield str(value)


def _options(options: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(options):
        yield field.name, getattr(options, field.name)


def _real(path: Path) -> Path:
    """The path without links and dots, as far as it exists."""
    return Path(os.path.realpath(path))


CHECKS: Final = (own_files_are_not_targets, sinks_lie_apart, own_clients_are_not_rotated)
