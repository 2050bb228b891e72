"""A program run with a bounded time, a bounded output, and an environment of its own."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import IO, Final, cast

from credmgr.errors import ConfigError

_KEPT: Final = 4096
_CHUNK: Final = 65_536
_LAST_WORDS: Final = 1.0
"""Seconds to wait for the end of the output, which a grandchild may hold open."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.

    Attributes:
        status: Its exit status, negative for a signal; None when its time was over.
        output: The end of what it printed on both outputs.
    """

    status: int | None
    output: str


def run(
    argv: Sequence[str],
    given: bytes,
    environment: Mapping[str, str],
    folder: Path,
    timeout: timedelta,
) -> Ended:
    """Run a program in a process group of its own, and end the group when its time is over.

    Args:
        argv: The program and its arguments, as they are.
        given: What it reads on standard input.
        environment: All of its environment.
        folder: Where it runs; a program with a `/` is looked for from there.
        timeout: How long it may take.

    Raises:
        ConfigError: It cannot be run.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 (a list, and no shell)
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        reason = (error.strerror or "cannot be run").lower()
        raise ConfigError(f"the program {argv[0]!a}: {reason}") from error
    tail = _Tail(cast("IO[bytes]", process.stdout))
    stdin = cast("IO[bytes]", process.stdin)
    for thread in (Thread(target=_feed, args=(stdin, given), daemon=True), tail):
        thread.start()
    status = _waited(process, timeout)
    tail.join(_LAST_WORDS)
    return Ended(status, tail.kept.decode(errors="replace"))


def runnable(program: str, folder: Path) -> bool:
    """Whether a program is there and may be run."""
    found = shutil.which(str(folder / program) if "/" in program else program)
    return found is not None


class _Tail(Thread):
    """Reads an output to its end, and keeps the end of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.kept = b""
        self._stream = stream

    def run(self) -> None:
        with self._stream as stream, suppress(OSError, ValueError):
            while chunk := os.read(stream.fileno(), _CHUNK):
                self.kept = (self.kept + chunk)[-_KEPT:]


def _feed(stream: IO[bytes], given: bytes) -> None:
    """Give a program its input; it may end, or not care, before it has read all of it."""
    with suppress(OSError, ValueError), stream:
        stream.write(given)


def _waited(process: "subprocess.Popen[bytes]", timeout: timedelta) -> int | None:
    try:
        return process.wait(timeout.total_seconds())
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None
