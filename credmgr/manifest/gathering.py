"""The manifest and the files that it includes → one tree."""

import glob
from pathlib import Path, PurePosixPath
from typing import Any, Final

from credmgr.errors import ManifestError, Problem
from credmgr.manifest.leaks import shown
from credmgr.manifest.messages import unknown_key
from credmgr.manifest.reading import read
from credmgr.manifest.schema import NAMED, Part, Root
from credmgr.manifest.tree import Trail, Tree

MAX_FILES: Final = 1000
_LISTED: Final = "policies"


def gather(path: Path) -> tuple[Tree, tuple[Path, ...]]:
    """Everything that the manifest at `path` says, and the files that say it, absolute.

    Raises:
        ManifestError: A file cannot be read on; every such file is named.
    """
    tree = read(path, str(path))
    home = path.absolute().parent
    fatal: list[Problem] = []
    files = [path.absolute()]
    for file in _included(tree, home, path.name):
        try:
            part = read(home / file, str(path.parent / file))
        except ManifestError as error:
            fatal += error.problems
        else:
            _Merge(tree, part).run()
        files.append(home / file)
    if fatal:
        raise ManifestError([*tree.problems, *fatal])
    return tree, tuple(files)


def _included(tree: Tree, home: Path, own: str) -> list[str]:
    """The files that `include` names, each once, in order, without the manifest itself."""
    patterns = tree.data.get("include")
    found: dict[str, None] = {}
    for number, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
        if isinstance(pattern, str) and _is_inside(pattern):
            matches = _matches(home, pattern)
            found |= dict.fromkeys(matches)
            if not matches:
                tree.problems.append(
                    tree.at(("include", number)).problem(
                        f"{shown(pattern)} matches no file", "take it out if that is intended"
                    )
                )
    found.pop(own, None)
    if len(found) > MAX_FILES:
        raise ManifestError([tree.at(("include",)).problem(f"more than {MAX_FILES} files")])
    return list(found)


def _matches(home: Path, pattern: str) -> list[str]:
    # Path.glob would find hidden files too: what editors leave behind.
    return sorted(glob.glob(pattern, root_dir=home, recursive=True))  # noqa: PTH207


def _is_inside(pattern: str) -> bool:
    """Whether a pattern stays in the manifest's folder."""
    path = PurePosixPath(pattern)
    return bool(pattern) and not path.is_absolute() and ".." not in path.parts


class _Merge:
    """Puts one included file into the tree; what is declared twice is refused with both places."""

    def __init__(self, tree: Tree, part: Tree) -> None:
        self.tree = tree
        self.part = part
        self.taken: dict[Trail, Trail] = {}

    def run(self) -> None:
        self.tree.problems += self.part.problems
        for section, content in self.part.data.items():
            if section in NAMED and isinstance(content, dict):
                self._entries(section, content)
            elif section == _LISTED and isinstance(content, list):
                self._items(content)
            else:
                self.tree.problems.append(self._misplaced(section))
        self._places()

    def _misplaced(self, section: str) -> Problem:
        spot = self.part.key((section,))
        if section in NAMED:
            return self.part.at((section,)).problem("expected a mapping of names")
        if section == _LISTED:
            return self.part.at((section,)).problem("expected a list")
        if section in Root.model_fields:
            return spot.problem(f"`{section}` stands in the manifest, not in an included file")
        return unknown_key(self.part, (section,), Part.model_fields)

    def _entries(self, section: str, content: dict[str, Any]) -> None:
        into = self.tree.data.setdefault(section, {})
        if not isinstance(into, dict):
            return
        self.tree.keys.setdefault((section,), self.part.key((section,)))
        for name, entry in content.items():
            trail = (section, name)
            if name in into:
                what = f"{shown(name, 'this name')} is declared twice"
                fix = f"first at {self.tree.key(trail)}"
                self.tree.problems.append(self.part.key(trail).problem(what, fix))
            else:
                into[name] = entry
                self.taken[trail] = trail

    def _items(self, content: list[Any]) -> None:
        into = self.tree.data.setdefault(_LISTED, [])
        if isinstance(into, list):
            for number, item in enumerate(content):
                self.taken[_LISTED, number] = (_LISTED, len(into))
                into.append(item)

    def _places(self) -> None:
        """Carry over where everything taken is written."""
        for trail, spot in self.part.values.items():
            if trail[:2] in self.taken:
                moved = (*self.taken[trail[:2]], *trail[2:])
                self.tree.values[moved] = spot
                if trail in self.part.keys:
                    self.tree.keys[moved] = self.part.keys[trail]
                if trail in self.part.plain:
                    self.tree.plain[moved] = self.part.plain[trail]
