"""What is scanned: streams of bytes that know where they come from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import BinaryIO, Final, Protocol

BLOCK: Final = 1 << 20
"""Bytes that are looked at together: what bounds memory, whatever the size of a file."""
OVERLAP: Final = 1 << 14
"""Bytes by which blocks overlap, so that nothing is cut in two; four times the longest word."""


class Reads(Protocol):
    """Whatever bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Commit:
    """The commit that brought a text.

    Attributes:
        id: Its hash.
        at: The author's date.
        author: The author's name.
    """

    id: str
    at: datetime
    author: str


@dataclass(frozen=True, slots=True)
class Where:
    """Where a text stands.

    Attributes:
        path: The file, as the caller named it or relative to the repository.
        inside: Names within it, outermost first, where it is an archive.
        commit: The commit that brought it; None for what lies on the disk.
        note: What a person should know of this place: a layer, a deleted file.
    """

    path: str
    inside: tuple[str, ...] = ()
    commit: Commit | None = None
    note: str = ""

    @property
    def text(self) -> str:
        """Path and names in one: `image.tar!layer.tar!etc/app.conf`."""
        return "!".join((self.path, *self.inside))

    def within(self, name: str, note: str = "") -> "Where":
        """A member of what is here."""
        return replace(self, inside=(*self.inside, name), note=note or self.note)


@dataclass(frozen=True, slots=True)
class Piece:
    """A text to scan; read it before the next one is asked for."""

    where: Where
    stream: BinaryIO | Reads


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a piece.

    Attributes:
        where: Whose part it is.
        data: The bytes.
        line: The line that it begins in, from 1; 0 in a binary file.
        at: Its offset in the piece.
    """

    where: Where
    data: bytes
    line: int
    at: int


@dataclass(slots=True)
class Notices:
    """What could not be looked at, and why: told at the end, never dropped."""

    said: list[str] = field(default_factory=list)
    more: int = 0
    most: int = 200

    def add(self, where: str, why: str) -> None:
        """Note one place; above a bound they are counted only."""
        if len(self.said) < self.most:
            self.said.append(f"{where}: {why}")
        else:
            self.more += 1

    def all(self) -> list[str]:
        """Everything, with a last line for what was only counted."""
        return [*self.said, f"{self.more} further places"] if self.more else list(self.said)


def blocks(piece: Piece, head: bytes = b"") -> Iterator[Block]:
    """A piece in parts that overlap.

    Args:
        piece: The piece.
        head: What was read from it already.
    """
    kept, at, line = b"", 0, 1
    while True:
        wanted = BLOCK - len(kept)
        fresh = _fill(piece.stream.read, head, wanted)
        head = b""
        data = kept + fresh
        binary = b"\x00" in data[:4096]
        if data:
            yield Block(piece.where, data, 0 if binary else line, at)
        if len(fresh) < wanted:
            return
        kept = data[-OVERLAP:]
        line += data.count(b"\n", 0, len(data) - OVERLAP)
        at += len(data) - OVERLAP


def _fill(read: Callable[[int], bytes], head: bytes, wanted: int) -> bytes:
    """Exactly so many bytes, fewer only at the end: a stream may give them in small portions."""
    parts, missing = [head], wanted - len(head)
    while missing > 0 and (part := read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def peek(stream: BinaryIO | Reads, size: int) -> bytes:
    """The first bytes of a stream, which are gone from it."""
    return _fill(stream.read, b"", size)
