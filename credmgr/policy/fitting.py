"""Right-sizing: from what was asked for, the scopes that would do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from credmgr.model.names import Name
from credmgr.model.usage import Usage


@dataclass(frozen=True, slots=True)
class Fit:
    """What is granted, and what of it is needed.

    Attributes:
        granted: What it may do.
        needed: What of that was asked for in time.
        idle: What was not.
        since: From when on uses are known; None when no scope was ever asked for.
        certain: Whether that is long enough to say so.
    """

    granted: tuple[str, ...]
    needed: tuple[str, ...]
    idle: tuple[str, ...]
    since: datetime | None
    certain: bool

    @property
    def line(self) -> str:
        """The line for the manifest."""
        quoted = (f'"{scope}"' for scope in self.needed)
        return f"scopes: [{', '.join(quoted)}]"

    @property
    def narrower(self) -> bool:
        """Whether there is a smaller list to put there, and reason to."""
        return self.certain and bool(self.idle) and bool(self.needed)


def fit(granted: Iterable[str], uses: Iterable[Usage], now: datetime, within: timedelta) -> Fit:
    """What of some scopes was asked for within a time."""
    asked: dict[str, datetime] = {}
    since: datetime | None = None
    for use in uses:
        if use.scopes:
            since = use.first_seen if since is None else min(since, use.first_seen)
        for scope in use.scopes:
            asked[scope] = max(asked.get(scope, use.last_seen), use.last_seen)
    have = sorted(granted)
    needed = tuple(scope for scope in have if scope in asked and asked[scope] > now - within)
    idle = tuple(scope for scope in have if scope not in needed)
    return Fit(tuple(have), needed, idle, since, since is not None and since <= now - within)


def by_consumer(uses: Iterable[Usage]) -> Mapping[Name, list[Usage]]:
    """The uses of each consumer."""
    found: dict[Name, list[Usage]] = {}
    for use in uses:
        found.setdefault(use.consumer, []).append(use)
    return found
