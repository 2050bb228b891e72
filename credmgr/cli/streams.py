"""The standard streams, so that no output goes wrong: not closed, not left by its reader."""

import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import Any, Final, TextIO

_NOWHERE: Final = Path(os.devnull)


def fit_streams() -> None:
    """Let output go where it can: what is closed or left is nowhere, what cannot be shown is `?`.

    A command whose reader has gone does its work to the end all the same.
    """
    sys.stdin = sys.stdin or _NOWHERE.open()
    sys.stdout = _fit(sys.stdout, sys.__stdout__)
    sys.stderr = _fit(sys.stderr, sys.__stderr__)


class _Lasting(FileIO):
    """A descriptor that leads nowhere from the moment at which its reader has gone."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            with _NOWHERE.open("w") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            return super().write(data)


def _fit(stream: TextIO | None, own: TextIO | None) -> TextIO:
    if stream is None:
        return _NOWHERE.open("w")
    if not isinstance(stream, TextIOWrapper):
        return stream
    if stream is not own:
        stream.reconfigure(errors="replace")
        return stream
    raw = _Lasting(stream.fileno(), "w", closefd=False)
    return TextIOWrapper(
        raw if isinstance(stream.buffer, FileIO) else BufferedWriter(raw),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
