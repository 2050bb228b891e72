"""`load`: from the path of a manifest to a `Manifest`, or to every mistake in it at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from credmgr.errors import ManifestError, Problem
from credmgr.manifest import building, identity
from credmgr.manifest.catalogue import InstalledPlugins, PluginCatalogue
from credmgr.manifest.checks import CHECKS
from credmgr.manifest.defaulting import apply_defaults
from credmgr.manifest.draft import Draft, understand
from credmgr.manifest.gathering import gather
from credmgr.manifest.manifest import Manifest
from credmgr.manifest.schema import Root
from credmgr.model.names import Name

V = TypeVar("V")


def load(path: Path, plugins: PluginCatalogue | None = None) -> Manifest:
    """The manifest at `path` with every file that it includes.

    Reads files and nothing else: no reference is followed, no plugin opens a session. May be
    repeated.

    Args:
        path: As the user gave it; messages show it so.
        plugins: Where plugins are looked up; those installed unless given.

    Raises:
        ManifestError: It is wrong; carries every mistake with its file, line, column and remedy.
    """
    tree, files = gather(path)
    digest = tree.digest()
    apply_defaults(tree)
    draft = understand(tree, path.absolute().parent, plugins or InstalledPlugins())
    for check in (*CHECKS, *identity.CHECKS):
        draft.problems += check(draft)
    problems = _told_once(tree.problems, draft.problems)
    if problems or draft.root is None:
        raise ManifestError(problems)
    return _manifest(draft, draft.root, files, digest)


def _manifest(draft: Draft, root: Root, files: tuple[Path, ...], digest: str) -> Manifest:
    return Manifest(
        state=building.state(root.state, draft.home),
        daemon=building.daemon(root.daemon),
        api=building.api(root.api, draft.home),
        backends=_named(draft.backends),
        sinks=_named(draft.sinks),
        issuers=_named(draft.issuers),
        notifiers=_named(draft.notifiers),
        consumers=_named(draft.consumers),
        credentials=_named(draft.credentials),
        policies=building.policies(root.policies, draft.tree),
        alerts=building.routing(root.alerts, draft.notifiers),
        home=draft.home,
        files=files,
        digest=digest,
        variables=_named(draft.variables),
        tokens=_named(draft.tokens),
    )


def _named(section: Mapping[str, V]) -> dict[Name, V]:
    return {Name(name): value for name, value in section.items()}


def _place(problem: Problem) -> tuple[str, int, int]:
    return problem.file, problem.line, problem.column


def _told_once(first: Sequence[Problem], later: Sequence[Problem]) -> list[Problem]:
    """Each mistake once; where the YAML itself is at fault, or holds a secret, nothing but that."""
    settled = {_place(problem) for problem in first}
    told = [*first, *(problem for problem in later if _place(problem) not in settled)]
    once: dict[tuple[str, int, int, str], Problem] = {}
    for problem in told:
        once.setdefault((*_place(problem), problem.what), problem)
    return list(once.values())
