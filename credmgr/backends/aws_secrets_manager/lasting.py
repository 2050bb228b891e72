"""How long a call has lasted, the sign-in that it may need included: all of it has one deadline."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Final

_BEGUN: Final[ContextVar[float | None]] = ContextVar("credmgr_aws_begun", default=None)


@contextmanager
def one_call() -> Iterator[None]:
    """Let what is in here be one call of this thread, or a part of the one that it is in."""
    # Real time, as sockets know no other.
    token = _BEGUN.set(_BEGUN.get() or time.monotonic())
    try:
        yield
    finally:
        _BEGUN.reset(token)


def elapsed() -> timedelta:
    """How long this thread's call has lasted; nothing where it is in none."""
    begun = _BEGUN.get()
    return timedelta(seconds=time.monotonic() - begun) if begun is not None else timedelta()
