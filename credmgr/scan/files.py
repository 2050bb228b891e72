"""Walking over files: no link is followed, nothing but files is opened, errors are told."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from io import BufferedReader
from pathlib import Path
from typing import Final, Self

from credmgr.errors import UsageError
from credmgr.scan.pieces import Notices

IGNORE_FILE: Final = ".credmgrignore"


class Ignored:
    """Paths that are not looked at, by patterns as in a shell.

    A pattern without a `/` fits a name at any depth, one with a `/` the path from the root;
    whatever lies in a folder that fits is left out as well. Lines with `#` first are comments.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        stripped = (line.strip() for line in lines)
        self._patterns = [
            line.rstrip("/") for line in stripped if line and not line.startswith("#")
        ]

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The patterns of a folder's ignore file; none without one.

        Raises:
            UsageError: It cannot be read.
        """
        file = folder / IGNORE_FILE
        try:
            return cls(file.read_text(errors="surrogateescape").splitlines())
        except (FileNotFoundError, NotADirectoryError):
            return cls([])
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror}") from error

    def __contains__(self, path: str) -> bool:
        """Whether a path, relative to the root, is left out."""
        return bool(self._patterns) and any(self._fits(path, one) for one in self._patterns)

    @staticmethod
    def _fits(path: str, pattern: str) -> bool:
        parts = path.split("/")
        if "/" not in pattern:
            return any(fnmatchcase(part, pattern) for part in parts)
        pattern = pattern.removeprefix("/")
        return any(fnmatchcase("/".join(parts[:end]), pattern) for end in range(1, len(parts) + 1))


def walk(root: Path, ignored: Ignored, notices: Notices) -> Iterator[Path]:
    """Every regular file below a folder, in order; `.git` is left to the history."""
    links, todo = 0, [root]
    while todo:
        for entry in _entries(todo.pop(), notices):
            path = Path(entry.path)
            if entry.name == ".git" or path.relative_to(root).as_posix() in ignored:
                continue
            if entry.is_symlink():
                links += 1
            elif entry.is_dir(follow_symlinks=False):
                todo.append(path)
            elif entry.is_file(follow_symlinks=False):
                yield path
    if links:
        notices.add(str(root), f"{links} symbolic {'link' if links == 1 else 'links'} not followed")


def _entries(folder: Path, notices: Notices) -> Sequence["os.DirEntry[str]"]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        notices.add(str(folder), (error.strerror or "cannot be listed").lower())
        return ()


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """A regular file, opened without following a link and without waiting for a pipe.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(0, "no regular file")
        yield stream
