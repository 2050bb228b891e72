"""What is packed: tar, zip, gzip, bzip2 and xz, in each other, within bounds."""

import bz2
import gzip
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from typing import Any, BinaryIO, Final, cast

from credmgr.scan.pieces import Block, Notices, Piece, Reads, Where, blocks, peek

DEPTH: Final = 6
"""Archives within each other that are opened."""
HEAD: Final = 512
"""Bytes by which an archive is known."""
_BROKEN: Final = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # a zip that wants a password
    NotImplementedError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
_UNPACKERS: Final[Mapping[bytes, tuple[str, Callable[[BinaryIO], Any]]]] = {
    b"\x1f\x8b": ("gzip", lambda stream: gzip.GzipFile(fileobj=stream)),
    b"BZh": ("bzip2", bz2.BZ2File),
    b"\xfd7zXZ\x00": ("xz", lzma.LZMAFile),
}
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_IN_MEMORY: Final = 1 << 24


Remark = Callable[[tuple[str, ...]], str]
"""What is to be said of a member, by the names that lead to it; mostly nothing."""


def nothing(_: tuple[str, ...]) -> str:
    """No remark."""
    return ""


class TooMuch(OSError):
    """More came out of an archive than is let out."""


@dataclass(slots=True)
class Budget:
    """How much may still come out of one file's archives.

    Attributes:
        left: Bytes.
    """

    left: int

    def take(self, size: int) -> None:
        """Count bytes.

        Raises:
            TooMuch: There were more than allowed.
        """
        self.left -= size
        if self.left < 0:
            raise TooMuch


class Joined(RawIOBase):
    """A stream whose first bytes were read already, put before it again."""

    def __init__(self, head: bytes, stream: Reads, budget: Budget | None = None) -> None:
        self._head, self._stream, self._budget = head, stream, budget

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """What there is, counted against the budget."""
        size = len(buffer)
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
        else:
            data = self._stream.read(size)
        if self._budget is not None:
            self._budget.take(len(data))
        buffer[: len(data)] = data
        return len(data)


class Unpacker:
    """Takes pieces apart into blocks, archives into their members.

    Args:
        limit: Bytes that may come out of the archives of one piece, all together.
        notices: Where what could not be opened is told.
    """

    def __init__(self, limit: int, notices: Notices, remark: Remark = nothing) -> None:
        self._limit, self._notices, self._remark = limit, notices, remark

    def blocks(self, piece: Piece) -> Iterator[Block]:
        """Everything in a piece; where something is broken or too large, a notice."""
        try:
            yield from self._open(piece, Budget(self._limit), 0)
        except TooMuch:
            self._notices.add(piece.where.text, f"more than {self._limit >> 20} MiB unpacked")

    def _open(self, piece: Piece, budget: Budget, depth: int) -> Iterator[Block]:
        head = peek(piece.stream, HEAD)
        kind = _kind(head)
        if kind and depth >= DEPTH:
            self._notices.add(piece.where.text, f"archives within archives more than {DEPTH} deep")
            kind = ""
        if not kind:
            yield from blocks(piece, head)
            return
        if kind == "zstd":
            self._notices.add(piece.where.text, "compressed with Zstandard, which is not unpacked")
            return
        stream = BufferedReader(Joined(head, piece.stream))
        try:
            yield from self._members(kind, piece.where, stream, budget, depth)
        except TooMuch:
            raise
        except _BROKEN as error:
            self._notices.add(piece.where.text, f"a broken {kind} ({type(error).__name__})")

    def _members(
        self, kind: str, where: Where, stream: BinaryIO, budget: Budget, depth: int
    ) -> Iterator[Block]:
        if kind == "tar":
            yield from self._tar(where, stream, budget, depth)
        elif kind == "zip":
            yield from self._zip(where, stream, budget, depth)
        else:
            unpack = next(made for name, made in _UNPACKERS.values() if name == kind)
            with closing(unpack(stream)) as inner:
                counted = Joined(b"", inner, budget)
                yield from self._open(Piece(where, counted), budget, depth + 1)

    def _tar(self, where: Where, stream: BinaryIO, budget: Budget, depth: int) -> Iterator[Block]:
        with tarfile.open(fileobj=stream, mode="r|", errorlevel=2) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is not None:
                    counted = Joined(b"", content, budget)
                    yield from self._open(
                        self._member(where, member.name, counted), budget, depth + 1
                    )

    def _zip(self, where: Where, stream: BinaryIO, budget: Budget, depth: int) -> Iterator[Block]:
        """A zip's directory is at its end, so that it is put aside first."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as aside:
            while part := stream.read(1 << 20):
                budget.take(len(part))
                aside.write(part)
            with zipfile.ZipFile(cast("BinaryIO", aside)) as packed:
                for entry in packed.infolist():
                    if entry.is_dir():
                        continue
                    if entry.flag_bits & 1:
                        self._notices.add(where.within(entry.filename).text, "encrypted")
                        continue
                    with packed.open(entry) as content:
                        counted = Joined(b"", content, budget)
                        inner = self._member(where, entry.filename, counted)
                        yield from self._open(inner, budget, depth + 1)

    def _member(self, where: Where, name: str, content: Joined) -> Piece:
        name = name.removeprefix("./")
        return Piece(where.within(name, self._remark((*where.inside, name))), content)


def _kind(head: bytes) -> str:
    """What kind of archive begins so; empty for none."""
    for magic, (name, _) in _UNPACKERS.items():
        if head.startswith(magic):
            return name
    if head.startswith(_ZIP):
        return "zip"
    if head.startswith(_ZSTD):
        return "zstd"
    return "tar" if is_tar(head) else ""


def is_tar(head: bytes) -> bool:
    """Whether a file that begins so is a tar."""
    return head[257:262] == b"ustar"
