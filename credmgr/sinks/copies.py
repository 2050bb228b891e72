"""Copies as files with a mark beside each: what the sinks `file` and `kubernetes` write with."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final
from uuid import UUID

from credmgr.errors import BackendUnavailable, NotOurs
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.context import PluginContext
from credmgr.plugins.sink import SinkState
from credmgr.sinks.folders import Access, Folder, Found, Missing, alone, translated
from credmgr.sinks.marks import Mark, Sealer, read_mark
from credmgr.sinks.rendering import Render

_PROBE: Final = ".credmgr-probe"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the files are, and what is in them.

    Attributes:
        root: The folder that all of them are in.
        access: Who may reach them.
        file: The path of a name's file below the root.
        render: What it holds.
        adopt: Take over a file that credmgr did not write.
    """

    root: Path
    access: Access
    file: Callable[[Name], str]
    render: Render
    adopt: bool = False


class FileCopies:
    """One file per name, each with a mark beside it. Thread-safe, and safe between processes.

    The mark is written first and knows both contents, the old and the new; then the file is
    replaced in one step. So whatever a crash leaves is known for what it is, and the next write
    completes it. Readers need no lock.
    """

    def __init__(
        self, layout: Layout, context: PluginContext, folders: type[Folder] = Folder
    ) -> None:
        self._layout, self._folders = layout, folders
        self._clock, self._patience = context.clock, context.deadline
        self._sealer = Sealer(context.keys)
        self._lock = Lock()

    def write(self, name: Name, secret: Secret, version: UUID) -> None:
        """Make `secret` what readers find. What is there already is not written again.

        Raises:
            LimitExceeded: The value or the name does not fit.
            NotOurs: A file is there that credmgr did not write.
        """
        content = self._layout.render(name, secret, version)
        with self._writing(name, make=True) as (folder, leaf):
            mark, found = self._look(name, folder, leaf)
            if mark is None and found is not None and not self._layout.adopt:
                raise self._not_ours(name)
            was = self._sealer.find(mark, found.content) if mark and found else None
            same = found is not None and found.content == content and self._reached(found)
            if same and was is not None and was.version == version:
                return
            entry = self._sealer.entry(name, version, content)
            entries = [entry] if same or was is None else [entry, was]
            folder.replace(_beside(leaf), Mark(name, entries).text(), _own())
            if not same:
                self._place(folder, name, content, fresh=found is None and mark is None)

    def inspect(self, name: Name) -> SinkState:
        """Which version is there, and whether it is as it was written. May be repeated."""
        try:
            with translated(self._layout.root), self._open(name, make=False) as (folder, leaf):
                mark, found = self._look(name, folder, leaf)
        except (Missing, NotOurs):
            return SinkState(None, intact=False)
        if mark is None:
            return SinkState(None, intact=False)
        entry = self._sealer.find(mark, found.content) if found else None
        if found is None or entry is None:
            return SinkState(mark.newest.version, intact=False)
        return SinkState(entry.version, intact=self._reached(found))

    def remove(self, name: Name) -> None:
        """Remove the file, a changed one too. An absent one is no error.

        Raises:
            NotOurs: A file is there that credmgr did not write.
        """
        try:
            with self._writing(name, make=False) as (folder, leaf):
                mark, found = self._look(name, folder, leaf)
                if mark is None and found is not None:
                    raise self._not_ours(name)
                if mark is not None:
                    folder.remove(leaf)
                    folder.remove(_beside(leaf))
        except Missing:
            return

    def check(self) -> None:
        """Prove that a file can be written there, with its mode and owner. May be repeated.

        Raises:
            BackendError: It cannot be.
        """
        layout = self._layout
        with self._lock, translated(layout.root):
            opened = self._folders.opened(layout.root, (), layout.access, make=True)
            with opened as folder, alone(layout.root, self._clock, self._patience):
                folder.replace(_PROBE, b"", layout.access)
                folder.remove(_PROBE)

    def close(self) -> None:
        """Nothing is kept open. May be repeated."""

    def _place(self, folder: Folder, name: Name, content: bytes, *, fresh: bool) -> None:
        leaf = self._leaf(name)
        try:
            folder.replace(leaf, content, self._layout.access, fresh=fresh)
        except FileExistsError as error:  # somebody else made it since we looked
            if not self._layout.adopt:
                folder.remove(_beside(leaf))
                raise self._not_ours(name) from error
            folder.replace(leaf, content, self._layout.access)

    def _look(self, name: Name, folder: Folder, leaf: str) -> tuple[Mark | None, Found | None]:
        beside = folder.read(_beside(leaf))
        mark = read_mark(beside.content if beside else None)
        if mark is not None and mark.name != name:
            raise NotOurs(
                f"{self._path(name)} holds the copy of {mark.name}",
                hint="give each copy a file of its own",
            )
        return mark, folder.read(leaf)

    def _reached(self, found: Found) -> bool:
        return self._layout.access.fits(found.status)

    def _not_ours(self, name: Name) -> NotOurs:
        return NotOurs(
            f"{self._path(name)} was not written by credmgr",
            hint="move it away, or set `adopt: true` to write over it",
        )

    def _path(self, name: Name) -> Path:
        return self._layout.root / self._layout.file(name)

    def _leaf(self, name: Name) -> str:
        return self._path(name).name

    @contextmanager
    def _writing(self, name: Name, *, make: bool) -> Iterator[tuple[Folder, str]]:
        root = self._layout.root
        if not self._lock.acquire(timeout=self._patience.total_seconds()):
            raise BackendUnavailable(f"other threads have been writing in {root}")
        try:
            with (
                translated(root),
                self._open(name, make=make) as opened,
                alone(root, self._clock, self._patience),
            ):
                folder, leaf = opened
                for file in (leaf, _beside(leaf)):
                    folder.clear(file)
                yield folder, leaf
        finally:
            self._lock.release()

    @contextmanager
    def _open(self, name: Name, *, make: bool) -> Iterator[tuple[Folder, str]]:
        *below, leaf = self._layout.file(name).split("/")
        layout = self._layout
        with self._folders.opened(layout.root, below, layout.access, make=make) as folder:
            yield folder, leaf


def _beside(leaf: str) -> str:
    return f".{leaf}.credmgr"


def _own() -> Access:
    return Access(0o600, os.geteuid(), os.getegid())
