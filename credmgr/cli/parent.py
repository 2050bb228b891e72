"""A process that belongs to another one ends with it, however that one ends."""

import os
import sys
from collections.abc import Callable
from threading import Thread
from typing import Annotated, Final

import typer

UntilEof = Annotated[bool, typer.Option("--until-eof", hidden=True)]
"""For programs that start us: they hold our standard input, and its end is ours."""

_CHUNK: Final = 4096


def end_with_input(stop: Callable[[], None]) -> None:
    """Call `stop` when standard input ends."""
    Thread(target=_wait, args=(stop,), name="parent", daemon=True).start()


def _wait(stop: Callable[[], None]) -> None:
    while os.read(sys.stdin.fileno(), _CHUNK):  # unbuffered: an exit must not wait for a lock
        pass
    stop()
