"""One YAML file → plain data with places; a small, strict part of YAML, nothing constructed.

Refused: anchors and aliases, merge keys, tags, several documents, duplicate keys, keys that are not
text, collections nested deeper than 20, files above 1 MiB or not UTF-8, control characters.
"""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

import yaml
from yaml import events

from credmgr.errors import ManifestError, Problem
from credmgr.manifest import leaks, scalars
from credmgr.manifest.tree import Plain, Scalar, Spot, Trail, Tree

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 20

_Collection: TypeAlias = events.MappingStartEvent | events.SequenceStartEvent
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Everything but what shows nothing, moves lines about, or shows them in another order than read.
_FORBIDDEN: Final = re.compile(
    "[^\t\n\r -~\xa0-\u2027\u202f-\u2065\u206a-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def read(path: Path, file: str) -> Tree:
    """The data of the file at `path`, which messages call `file`.

    Raises:
        ManifestError: It cannot be read on; what could be is in the `problems` of the tree.
    """
    return parse(_decode(_contents(path, file), file), file)


def parse(text: str, file: str) -> Tree:
    """The data of `text`.

    Raises:
        ManifestError: As `read`.
    """
    builder = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        builder.fail(
            _spot(mark, file),
            f"this is not YAML: {getattr(error, 'problem', 'unreadable')}",
            "indent with spaces, not tabs" if mark and text[mark.index :][:1] == "\t" else None,
        )
    tree = builder.tree
    tree.problems += leaks.in_scalars(builder.scalars)
    tree.problems += leaks.in_comments(text, file, builder.scalars)
    if builder.frames == [] and not builder.documents:
        builder.fail(Spot(file, 1, 1), "the file is empty")
    return tree


def _contents(path: Path, file: str) -> bytes:
    try:
        with open(path, "rb", opener=_opened) as stream:
            regular = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
            raw = stream.read(MAX_BYTES + 1) if regular else b""
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "not a path").lower()
        raise ManifestError([Problem(file, 0, 0, f"cannot be read: {reason}")]) from error
    if not regular:
        raise ManifestError([Problem(file, 0, 0, "cannot be read: not a regular file")])
    if len(raw) > MAX_BYTES:
        raise ManifestError(
            [Problem(file, 0, 0, "is larger than 1 MiB", "split it and `include` the parts")]
        )
    return raw


def _opened(path: str, flags: int) -> int:
    """Without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _decode(raw: bytes, file: str) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        readable = raw[: error.start].decode("utf-8", "replace")
        problem = _spot_after(readable, file).problem("this is not UTF-8", "save the file as UTF-8")
        raise ManifestError([problem]) from None
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        problem = _spot_after(text[: forbidden.start()], file).problem(
            f"the control character U+{ord(forbidden.group()):04X} is refused", "take it out"
        )
        raise ManifestError([problem])
    return text


def _spot(mark: Any, file: str) -> Spot:
    return Spot(file, mark.line + 1, mark.column + 1) if mark else Spot(file, 1, 1)


def _spot_after(text: str, file: str) -> Spot:
    return Spot(file, text.count("\n") + 1, len(text) - text.rfind("\n"))


@dataclass(slots=True)
class _Frame:
    """A collection that has not ended yet.

    Attributes:
        container: What it collects into.
        trail: Where it stands.
        key: The key that waits for its value.
        kept: Whether that value belongs to the data; one under a refused key does not.
    """

    container: dict[str, Any] | list[Any]
    trail: Trail
    key: str | None = None
    kept: bool = True


class _Builder:
    """Puts a tree together from YAML events."""

    def __init__(self, file: str) -> None:
        self.tree = Tree(file)
        self.frames: list[_Frame] = []
        self.scalars: list[Scalar] = []
        self.documents = 0

    def fail(self, spot: Spot, what: str, fix: str | None = None) -> NoReturn:
        raise ManifestError([*self.tree.problems, spot.problem(what, fix)])

    def take(self, event: events.Event) -> None:
        spot = _spot(event.start_mark, self.tree.file)
        match event:
            case events.DocumentStartEvent():
                self._document(spot)
            case events.MappingStartEvent() | events.SequenceStartEvent():
                self._properties(event, spot)
                self._open(event, spot)
            case events.ScalarEvent():
                self._properties(event, spot)
                self._scalar(event, spot)
            case events.AliasEvent():
                self._alias(spot)
            case events.CollectionEndEvent():
                self.frames.pop()
            case _:
                pass

    def _document(self, spot: Spot) -> None:
        self.documents += 1
        if self.documents > 1:
            self.fail(spot, "a second YAML document begins here", "give it a file of its own")

    def _properties(self, event: events.ScalarEvent | _Collection, spot: Spot) -> None:
        if event.anchor is not None:
            self.tree.problems.append(
                spot.problem("YAML anchors are refused", "write the value out where it is needed")
            )
        if event.tag is not None:
            self.tree.problems.append(spot.problem("YAML tags are refused", "take the tag out"))

    def _alias(self, spot: Spot) -> None:
        what, fix = "YAML aliases are refused", "write the value out"
        if not self.frames or self._wants_key(self.frames[-1]):
            self.fail(spot, what, fix)
        self.tree.problems.append(spot.problem(what, fix))
        self._attach(None, spot)

    def _open(self, event: _Collection, spot: Spot) -> None:
        mapping = isinstance(event, events.MappingStartEvent)
        if len(self.frames) == MAX_DEPTH:
            self.fail(spot, f"this is nested deeper than {MAX_DEPTH} levels")
        if not self.frames and not mapping:
            self.fail(spot, "expected a mapping of sections, found a list")
        if self.frames and self._wants_key(self.frames[-1]):
            self.fail(spot, "a key is a text, not a list or mapping")
        container: dict[str, Any] | list[Any] = {} if mapping else []
        trail = self._attach(container, spot)
        self.frames.append(_Frame(container, trail))

    def _scalar(self, event: events.ScalarEvent, spot: Spot) -> None:
        if not self.frames:
            what = "a text" if event.value else "nothing"
            self.fail(spot, f"expected a mapping of sections, found {what}")
        plain = event.implicit[0]
        if _FORBIDDEN.search(event.value):
            self.tree.problems.append(spot.problem("a control character is refused", "take it out"))
        if self._wants_key(self.frames[-1]):
            self._key(event.value, spot, plain=plain)
            trail = (*self.frames[-1].trail, event.value, "")
        else:
            trail = self._attach(scalars.resolve(event.value) if plain else event.value, spot)
            sense = scalars.meaning(event.value) if plain else None
            if sense:
                self.tree.plain[trail] = Plain(event.value, sense)
        start, end = (mark.index if mark else 0 for mark in (event.start_mark, event.end_mark))
        self.scalars.append(Scalar(trail, spot, event.value, start, end))

    def _wants_key(self, frame: _Frame) -> bool:
        return isinstance(frame.container, dict) and frame.key is None

    def _key(self, text: str, spot: Spot, *, plain: bool) -> None:
        frame = self.frames[-1]
        trail = (*frame.trail, text)
        frame.key = text
        frame.kept = True
        name = leaks.shown(text, "this key")
        if plain and text == "<<":
            self._drop(spot, "YAML merge keys are refused", "write the keys out")
        elif trail in self.tree.keys:
            self._drop(spot, f"{name} is given twice", f"first at {self.tree.keys[trail]}")
        elif plain and (sense := scalars.meaning(text)):
            self._drop(spot, f"a key is a text, but YAML reads {name} as {sense}", "quote it")
        else:
            self.tree.keys[trail] = spot

    def _drop(self, spot: Spot, what: str, fix: str) -> None:
        self.frames[-1].kept = False
        self.tree.problems.append(spot.problem(what, fix))

    def _attach(self, value: Any, spot: Spot) -> Trail:
        """Put a value where the innermost collection expects it, and say where that is."""
        if not self.frames:
            self.tree.data = value
            self.tree.values[()] = spot
            return ()
        frame = self.frames[-1]
        if isinstance(frame.container, list):
            trail = (*frame.trail, len(frame.container))
            frame.container.append(value)
        elif frame.kept:
            trail = (*frame.trail, frame.key or "")
            frame.container[frame.key or ""] = value
        else:
            trail = ("", len(self.scalars), frame.key or "")
        frame.key = None
        self.tree.values[trail] = spot
        return trail
