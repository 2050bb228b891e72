"""Uses, counted in memory and written down now and then."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from threading import Lock
from uuid import UUID

from credmgr.broker.life import Live, Tally
from credmgr.model.names import Name
from credmgr.model.usage import Usage

_Kind = tuple[Name, Name, UUID, frozenset[str]]


class Counting:
    """Collects uses until they are written; nothing is lost while the database is away.

    Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._reads: dict[tuple[Name, Name, UUID], Tally] = {}
        self._pending: dict[_Kind, Usage] = {}

    def read(self, consumer: Name, credential: Name, version: UUID, now: datetime) -> None:
        """Count that a consumer read a secret itself."""
        key = (consumer, credential, version)
        tally = self._reads.get(key)
        if tally is None:
            tally = self._reads.setdefault(key, Tally(now))
        tally.mark(now)

    def gather(self, lives: Iterable[Live]) -> None:
        """Take over what was counted at tokens."""
        with self._lock:
            for live in lives:
                for use in live.taken():
                    self._add(use)

    def batch(self) -> list[Usage]:
        """All that is not written yet; it stays so until `written`."""
        with self._lock:
            for (consumer, credential, version), tally in list(self._reads.items()):
                if uses := tally.take():
                    first, last = tally.first, tally.last
                    scopes: frozenset[str] = frozenset()
                    self._add(Usage(consumer, credential, version, scopes, first, last, uses))
            return list(self._pending.values())

    def written(self, batch: Iterable[Usage]) -> None:
        """Let go of what the database has now."""
        with self._lock:
            for use in batch:
                kind = _kind(use)
                left = self._pending[kind].count - use.count
                if left:
                    self._pending[kind] = replace(self._pending[kind], count=left)
                else:
                    del self._pending[kind]

    def _add(self, use: Usage) -> None:
        kind = _kind(use)
        known = self._pending.get(kind)
        if known is not None:
            last = max(known.last_seen, use.last_seen)
            use = replace(known, last_seen=last, count=known.count + use.count)
        self._pending[kind] = use


def _kind(use: Usage) -> _Kind:
    return use.consumer, use.credential, use.version, use.scopes
