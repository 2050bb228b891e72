"""What a git repository holds: every file of every commit that is reachable, each content once.

git is run with whatever it could be made to execute switched off: no hooks, no external diffs, no
file system monitor, no transport; a repository that is scanned need not be trusted.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Final, Self, cast

from credmgr.errors import UsageError
from credmgr.scan.pieces import Commit, Notices, Piece, Where

_SAFE: Final = (
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "protocol.allow=never"),
    *("-c", "log.showSignature=false"),
)
_KEPT: Final = ("HOME", "PATH", "XDG_CONFIG_HOME", "GIT_INDEX_FILE", "TMPDIR")
_QUIET: Final = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ATTR_NOSYSTEM": "1",
}
_FORMAT: Final = "--format=%x01%H%x00%aI%x00%an%x00%B%x00"
_FILES: Final = frozenset({"100644", "100755", "120000"})
MESSAGE: Final = "(commit message)"


@dataclass(frozen=True, slots=True)
class Blob:
    """A content at a path, as a commit brought it."""

    id: str
    where: Where


def is_repository(folder: Path) -> bool:
    """Whether a folder is one: with a working tree, or bare."""
    bare = all((folder / name).exists() for name in ("HEAD", "objects", "refs"))
    return bare or (folder / ".git").exists()


def history(folder: Path, shown: str, notices: Notices, largest: int) -> Iterator[Piece]:
    """Contents and messages of every reachable commit, the oldest first.

    Args:
        folder: The repository.
        shown: What its paths begin with where they are shown.
        notices: Where contents that were not looked at are told.
        largest: Bytes above which a content is not looked at.

    Raises:
        UsageError: git is missing, or refuses the repository.
    """
    seen: set[str] = set()
    with _Contents(folder) as contents:
        for found in _changes(folder, shown):
            if isinstance(found, Piece):
                yield found
            elif found.id not in seen:
                seen.add(found.id)
                yield from contents.pieces(found, notices, largest)


def staged(folder: Path, notices: Notices, largest: int) -> Iterator[Piece]:
    """What the next commit would bring: contents from the index, not from the disk.

    Raises:
        UsageError: git is missing, or this is no repository.
    """
    told = _output(folder, "diff", "--cached", "--raw", "-z", *_DIFF, "--diff-filter=ACMT")
    parts = iter(told.decode(errors="surrogateescape").split("\0"))
    with _Contents(folder) as contents:
        for change in filter(None, parts):
            if blob := _blob(change, next(parts, ""), None, ""):
                yield from contents.pieces(blob, notices, largest)


def top(folder: Path) -> Path:
    """The working tree that a folder is in.

    Raises:
        UsageError: It is in none.
    """
    return Path(_output(folder, "rev-parse", "--show-toplevel").decode().rstrip("\n"))


_DIFF: Final = ("--no-ext-diff", "--no-textconv", "--no-renames", "--no-abbrev", "--no-color")


def _changes(folder: Path, shown: str) -> Iterator[Blob | Piece]:
    """Messages and changed files of every commit: the raw log, taken apart as it comes."""
    head = ("HEAD",) if _run(folder, "rev-parse", "--verify", "-q", "HEAD").stdout else ()
    if not head and not _output(folder, "for-each-ref", "--count=1"):
        return  # nothing is committed yet
    asked = ("log", "--all", *head, "--reverse", "--topo-order", "--raw", "-z", "--cc", "--root")
    with _running(folder, *asked, *_DIFF, _FORMAT, "--") as out:
        parts = _split(out)
        commit: Commit | None = None
        for part in parts:
            text = part.lstrip("\n")
            if text.startswith("\x01"):
                at, author, message = next(parts), next(parts), next(parts)
                commit = Commit(text[1:], _moment(at), author)
                said = message.encode(errors="surrogateescape")
                yield Piece(Where(f"{shown}{MESSAGE}", commit=commit), BytesIO(said))
            elif text and (blob := _blob(text, next(parts), commit, shown)):
                yield blob


def _moment(text: str) -> datetime:
    """An author's date; the epoch for one that is no date, since anybody can write anything."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def _blob(change: str, path: str, commit: Commit | None, shown: str) -> Blob | None:
    """What one line of raw output brings; None for a submodule or a deletion."""
    words = change.lstrip(":").split(" ")
    parents = len(change) - len(change.lstrip(":"))  # a merge has a mode and an id for each
    mode, content = words[parents], words[2 * parents + 1]
    if mode not in _FILES:
        return None
    return Blob(content, Where(f"{shown}{path}", commit=commit))


def _split(out: IO[bytes]) -> Iterator[str]:
    """What stands between zero bytes."""
    rest = b""
    while part := out.read(1 << 16):
        *whole, rest = (rest + part).split(b"\0")
        yield from (one.decode(errors="surrogateescape") for one in whole)
    if rest.strip():
        yield rest.decode(errors="surrogateescape")


class _Contents:
    """One `git cat-file` that is asked for one content after the other."""

    def __init__(self, folder: Path) -> None:
        self._process = _start(folder, "cat-file", "--batch", stdin=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        cast("IO[bytes]", self._process.stdin).close()
        cast("IO[bytes]", self._process.stdout).close()
        self._process.wait()

    def pieces(self, blob: Blob, notices: Notices, largest: int) -> Iterator[Piece]:
        """The content, unless it is too large or missing."""
        stdin, stdout = (
            cast("IO[bytes]", self._process.stdin),
            cast("IO[bytes]", self._process.stdout),
        )
        stdin.write(f"{blob.id}\n".encode())
        stdin.flush()
        answer = stdout.readline().split()
        if len(answer) != 3:  # noqa: PLR2004 (id, type, size)
            notices.add(blob.where.text, "not in this clone")
            return
        size = int(answer[2])
        content = _Part(stdout, size)
        if size > largest:
            notices.add(blob.where.text, f"in the history, larger than {largest >> 20} MiB")
        else:
            yield Piece(blob.where, content)
        while content.read(1 << 16):
            pass
        stdout.read(1)


class _Part:
    """So many bytes of a stream."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(min(size, self._left))
        self._left -= len(data)
        return data


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | _QUIET


def _command(folder: Path, arguments: Sequence[str]) -> list[str]:
    return ["git", *_SAFE, "-C", str(folder), "--no-pager", *arguments]


def _start(folder: Path, *arguments: str, stdin: int) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(  # noqa: S603 (a list, and no shell)
            _command(folder, arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
    except OSError as error:
        raise _missing(error) from error


@contextmanager
def _running(folder: Path, *arguments: str) -> Iterator[IO[bytes]]:
    process = _start(folder, *arguments, stdin=subprocess.DEVNULL)
    with process:
        yield cast("IO[bytes]", process.stdout)
    if process.returncode > 0:
        raise UsageError(f"git cannot tell the history of {folder}", hint=_HINT.format(folder))


_HINT: Final = "`git -C {} log` says why"


def _run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(  # noqa: S603 (likewise)
            _command(folder, arguments),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise _missing(error) from error


def _output(folder: Path, *arguments: str) -> bytes:
    done = _run(folder, *arguments)
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().splitlines()[:1] or ["it failed"]
        raise UsageError(
            f"git {arguments[0]} in {folder}: {why[0].removeprefix('fatal: ')}",
            hint=_HINT.format(folder),
        )
    return done.stdout


def _missing(error: OSError) -> UsageError:
    return UsageError(
        f"git cannot be run: {error.strerror}", hint="install git, or scan with --no-history"
    )
