"""How far something long has come: a line on the terminal, nothing where there is none."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

EVERY: Final = 0.1
"""Seconds between two lines; more would only flicker."""
_CLEAR: Final = "\r\x1b[2K"


@contextmanager
def counter(what: str) -> Iterator[Callable[[int], None]]:
    """What is told a number now and then, and shows it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    shown = 0.0

    def show(count: int) -> None:
        nonlocal shown
        if (moment := time.monotonic()) - shown >= EVERY:
            shown = moment
            sys.stderr.write(f"{_CLEAR}{count:,} {what}")
            sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write(_CLEAR)
        sys.stderr.flush()


def counted(what: str, work: Iterable[object]) -> None:
    """Do all of something, and show how much is done."""
    with counter(what) as show:
        for number, _ in enumerate(work, 1):
            show(number)
