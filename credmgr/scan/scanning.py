"""A scan: every block of every place, matched, and told once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from credmgr.errors import UsageError
from credmgr.scan import git, images
from credmgr.scan.allowing import Allowed, beside
from credmgr.scan.archives import HEAD, Remark, Unpacker, is_tar, nothing
from credmgr.scan.files import Ignored, opened, walk
from credmgr.scan.matching import Match, Matcher
from credmgr.scan.pieces import Block, Notices, Piece, Where

LIMIT: Final = 1 << 32
"""Bytes that come out of the archives of one file."""
BLOB: Final = 1 << 28
"""Bytes of the largest content in a history that is looked at."""
ALONE: Final = 16 << 20
"""Bytes that one process scans by itself: below, starting others would take longer."""


@dataclass(frozen=True, slots=True)
class Found:
    """A secret at a place.

    Attributes:
        where: The place.
        line: From 1; 0 in a binary file.
        match: What it is.
        allowed: What the line says about it; None when nothing.
        also: Further places of the same value in the same file, such as its history.
    """

    where: Where
    line: int
    match: Match
    allowed: Allowed | None = None
    also: tuple["Found", ...] = ()


@dataclass(slots=True)
class Seen:
    """How far a scan has come.

    Attributes:
        texts: Files, contents, members.
        size: Bytes.
    """

    texts: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What to scan.

    Attributes:
        paths: Files and folders.
        history: Whether the history of a repository is looked at too.
        staged: Whether the index is looked at instead of all that.
    """

    paths: Sequence[Path]
    history: bool = True
    staged: bool = False


def found_in(block: Block, matcher: Matcher) -> list[Found]:
    """What is in a block."""
    found = []
    for match in matcher.find(block.data):
        line = block.line + block.data.count(b"\n", 0, match.at) if block.line else 0
        found.append(Found(block.where, line, match, beside(block.data, match.at)))
    return found


class Scan:
    """One scan over everything that is asked for. Memory is bounded by blocks, not by sizes.

    Attributes:
        notices: What could not be looked at.
        seen: How far it has come.
    """

    def __init__(self, asked: Asked) -> None:
        self.notices, self.seen = Notices(), Seen()
        self._asked = asked

    def run(
        self,
        make: Callable[[], Matcher],
        *,
        workers: int = 1,
        alone: int = ALONE,
        tell: Callable[[Seen], None] = lambda _: None,
    ) -> Sequence[Found]:
        """Every secret, once for each value and file, in the order in which they were met.

        Args:
            make: Makes the matcher; called once in each process, so it can be pickled.
            workers: Processes that may be started, once there is enough to do,
            alone: which is when so many bytes were done.
            tell: Called before every block, for a progress bar.

        Raises:
            UsageError: A path does not exist, or git refuses a repository.
        """
        for path in self._asked.paths:
            if not path.exists() and not path.is_symlink():
                raise UsageError(f"{path} does not exist")
        told = _Told()
        for found in _matched(self._counted(tell), make, workers, alone):
            told.add(found)
        return told.all()

    def _counted(self, tell: Callable[[Seen], None]) -> Iterator[Block]:
        last: Where | None = None
        for block in self._blocks():
            self.seen.texts += block.where is not last
            self.seen.size += len(block.data)
            last = block.where
            tell(self.seen)
            yield block

    def _blocks(self) -> Iterator[Block]:
        if self._asked.staged:
            for path in self._asked.paths:
                folder = git.top(path)
                yield from self._unpacked(
                    git.staged(folder, self.notices, BLOB), Ignored.of(folder)
                )
            return
        for path in self._asked.paths:
            if path.is_dir():
                yield from self._folder(path)
            else:
                yield from self._file(path)

    def _folder(self, folder: Path) -> Iterator[Block]:
        ignored, remark = Ignored.of(folder), images.of_folder(folder)
        bare = not (folder / ".git").exists() and git.is_repository(folder)
        if not bare:
            for path in walk(folder, ignored, self.notices):
                name = path.relative_to(folder).as_posix()
                yield from self._file(path, _of(name, remark) if remark else None)
        if self._asked.history and git.is_repository(folder):
            shown = "" if folder == Path() else f"{folder}/"
            pieces = git.history(folder, shown, self.notices, BLOB)
            yield from self._unpacked(pieces, ignored, shown)

    def _unpacked(
        self, pieces: Iterable[Piece], ignored: Ignored, shown: str = ""
    ) -> Iterator[Block]:
        unpacker = Unpacker(LIMIT, self.notices)
        for piece in pieces:
            if piece.where.path.removeprefix(shown) not in ignored:
                yield from unpacker.blocks(piece)

    def _file(self, path: Path, remark: Remark | None = None) -> Iterator[Block]:
        try:
            with opened(path) as stream:
                if remark is None and is_tar(stream.peek(HEAD)):
                    remark = images.of_tar(stream)
                where = Where(str(path), note=remark(()) if remark else "")
                unpacker = Unpacker(LIMIT, self.notices, remark or nothing)
                yield from unpacker.blocks(Piece(where, stream))
        except OSError as error:
            self.notices.add(str(path), (error.strerror or "cannot be read").lower())


def _of(name: str, remark: Remark) -> Remark:
    """The remarks on what is within one file of a folder."""
    return lambda inside: remark((name, *inside))


class _Told:
    """What was found, each value once in each file."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str, str], Found] = {}

    def add(self, found: Found) -> None:
        owner = str(found.match.owned.version) if found.match.owned else ""
        key = (found.match.rule, found.match.digest, found.where.text, owner)
        first = self._found.get(key)
        if first is None:
            self._found[key] = found
        elif (found.where, found.line) not in {(one.where, one.line) for one in _places(first)}:
            self._found[key] = replace(first, also=(*first.also, found))

    def all(self) -> list[Found]:
        return list(self._found.values())


def _places(found: Found) -> tuple[Found, ...]:
    return (found, *found.also)


_matcher: Matcher
"""A worker's own."""


def _begin(make: Callable[[], Matcher]) -> None:
    global _matcher  # noqa: PLW0603 (a worker process has one, made when it starts)
    _matcher = make()


def _work(block: Block) -> list[Found]:
    return found_in(block, _matcher)


def _matched(
    blocks: Iterator[Block], make: Callable[[], Matcher], workers: int, alone: int
) -> Iterator[Found]:
    """Match blocks here, and from a certain size on in other processes as well."""
    matcher, done = make(), 0
    for block in blocks:
        yield from found_in(block, matcher)
        done += len(block.data)
        if done >= alone and workers > 1:
            break
    else:
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(make,)
    ) as pool:
        waiting: deque[Future[list[Found]]] = deque()
        for block in blocks:
            waiting.append(pool.submit(_work, block))
            if len(waiting) >= 4 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
