"""Which version of each credential's secret is current, as far as this process knows."""

from collections.abc import Mapping
from datetime import timedelta
from threading import Lock
from typing import Final
from uuid import UUID

import structlog

from credmgr.broker.ports import Ledger
from credmgr.errors import StateUnavailable
from credmgr.model.clock import Clock
from credmgr.model.names import Name

FRESH: Final = timedelta(seconds=2)
"""How long the answer of the state database is believed."""

_log = structlog.get_logger("credmgr.broker")


class Versions:
    """Asks the state database for its revision, and for the versions only when that has grown.

    Thread-safe. While the database does not answer, what was known stays known.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock
        self._lock = Lock()
        self._revision = -1
        self._known: Mapping[Name, UUID] = {}
        self._looked: timedelta | None = None

    def __getitem__(self, name: Name) -> UUID | None:
        return self._known.get(name)

    @property
    def stale(self) -> bool:
        """Whether it is time to look again."""
        looked = self._looked
        return looked is None or self._clock.monotonic() - looked >= FRESH

    def refresh(self) -> frozenset[Name]:
        """Look again, unless another thread does; the credentials whose version has changed."""
        if not self._lock.acquire(blocking=False):
            return frozenset()
        try:
            return self._refreshed()
        except StateUnavailable as error:
            _log.warning("cannot see whether secrets have changed", why=error.message)
            return frozenset()
        finally:
            self._looked = self._clock.monotonic()
            self._lock.release()

    def _refreshed(self) -> frozenset[Name]:
        revision = self._ledger.revision()
        if revision == self._revision:
            return frozenset()
        found = self._ledger.current_versions()
        new = {name: version.id for name, version in found.items()}
        old, self._known, self._revision = self._known, new, revision
        return frozenset(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
