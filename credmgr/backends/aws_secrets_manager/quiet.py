"""botocore's talk is silenced where it would show secrets.

At DEBUG it logs the parameters of each call, SecretString among them, then the whole request and
the answer (botocore/endpoint.py, client.py, parsers.py, auth.py).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_HUSHED: Final = ContextVar("credmgr_aws_hushed", default=False)
_TALKERS: Final = ("boto3", "botocore")


class _Hush(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if not _HUSHED.get():
            return True
        record.exc_info = None  # of a renewal that failed: it may hold what a program printed
        return record.levelno >= logging.WARNING


_HUSH: Final = _Hush()


def install() -> None:
    """Put the filter on every logger that botocore has made so far. May be repeated.

    A filter of a logger is not asked about its children's records, and a level set on the parent is
    undone by whoever wants to debug: so each gets its own.
    """
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in _TALKERS:
            logging.getLogger(name).addFilter(_HUSH)


@contextmanager
def hushed() -> Iterator[None]:
    """What botocore says in here, in this thread, below WARNING, is not logged."""
    token = _HUSHED.set(True)
    try:
        yield
    finally:
        _HUSHED.reset(token)
