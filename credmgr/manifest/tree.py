"""A YAML file as plain data, with the place of every key and value."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from credmgr.errors import Problem

Trail: TypeAlias = tuple[str | int, ...]
"""The keys and list positions that lead from the top to a value."""

_TOP: Final = 1


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def problem(self, what: str, fix: str | None = None) -> Problem:
        """A mistake at this place."""
        return Problem(self.file, self.line, self.column, what, fix)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Plain:
    """An unquoted scalar that YAML does not read as text.

    Attributes:
        text: As it is written.
        meaning: What YAML takes it for: `a number`, `a truth value` …
    """

    text: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Scalar:
    """One key or value of a file, as text.

    Attributes:
        trail: Where it stands.
        spot: Where it is written.
        text: What it says, quotes and escapes resolved.
        start: Index in the file's text at which it begins.
        end: Index behind it.
    """

    trail: Trail
    spot: Spot
    text: str
    start: int
    end: int


@dataclass(slots=True)
class Tree:
    """The data of one file, or of the manifest put together from several.

    Attributes:
        file: Path as the user gave it.
        data: Mappings, lists, texts, numbers, truth values and None; a scalar that YAML versions
            disagree on stays a `Plain`.
        values: Where each value is written.
        keys: Where each key is written, by the trail that it ends.
        plain: How scalars that are not text are written.
        problems: What is wrong with the YAML itself, though it could be read on.
    """

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    values: dict[Trail, Spot] = field(default_factory=dict)
    keys: dict[Trail, Spot] = field(default_factory=dict)
    plain: dict[Trail, Plain] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def at(self, trail: Iterable[str | int]) -> Spot:
        """Where the value is written; for one that is not, the key of the nearest around it."""
        here = tuple(trail)
        return self.values.get(here) or self.key(here)

    def key(self, trail: Iterable[str | int]) -> Spot:
        """Where the key is written; where there is none, that of the nearest value around it."""
        here = tuple(trail)
        while here:
            if here in self.keys:
                return self.keys[here]
            if here in self.values:
                return self.values[here]
            here = here[:-1]
        return Spot(self.file, _TOP, _TOP)

    def digest(self) -> str:
        """SHA-256 of what it says, hexadecimal; comments, order and layout do not count."""
        said = json.dumps(self.data, sort_keys=True, default=repr, separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()

    def knows(self, trail: Trail) -> bool:
        """Whether a value is written there."""
        return trail in self.values
