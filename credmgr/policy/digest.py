"""What a message says: one alert as it is, several as a list with counts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from credmgr.model.finding import Alert, Severity
from credmgr.model.outbox import Raised
from credmgr.policy.telling import News

ITEMS: Final = 1000
"""How many alerts a message carries for programs to read."""
LISTED: Final = 20
"""How many its text names."""
_WORDS: Final = {
    News.NEW: "new",
    News.CHANGED: "changed",
    News.REMINDER: "still open",
    News.ENDED: "resolved",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One alert of a message, and what is said of it."""

    raised: Raised
    news: News

    @property
    def alert(self) -> Alert:
        """The alert, as it is told by itself."""
        alert = self.raised.alert
        match self.news:
            case News.ENDED if not alert.resolved:
                title, body = f"Resolved: {alert.title}", "It has ended; nothing is left to do."
                return replace(alert, title=title, body=body, resolved=True)
            case News.REMINDER:
                return replace(alert, title=f"Still open: {alert.title}")
            case _:
                return alert


def message(items: Sequence[Item], batch: str, identity: str, now: datetime) -> Alert:
    """One alert that says all of them.

    Args:
        items: What to say; at least one.
        batch: The group that they are of.
        identity: The message's id.
        now: When it is written.
    """
    ordered = sorted(items, key=_weight)
    if len(ordered) == 1:
        return replace(ordered[0].alert, id=identity)
    alerts = [one.alert for one in ordered]
    worst = max((one.alert.severity for one in _open(ordered) or ordered), key=lambda one: one.rank)
    owners = {one.owner for one in alerts}
    places = {one.environment for one in alerts}
    return Alert(
        key=f"digest/{batch}",
        severity=worst,
        owner=owners.pop() if len(owners) == 1 else "",
        title=_title(ordered, worst),
        body=_body(alerts),
        at=now,
        facts={"alerts": str(len(alerts))},
        environment=places.pop() if len(places) == 1 else None,
        resolved=not _open(ordered),
        id=identity,
        items=tuple(alerts[:ITEMS]),
    )


def _open(items: Sequence[Item]) -> Sequence[Item]:
    return [one for one in items if one.news is not News.ENDED]


def _weight(item: Item) -> tuple[bool, int, int, str]:
    """What is open first, worst first, news before reminders."""
    alert = item.raised.alert
    return item.news is News.ENDED, -alert.severity.rank, item.news.value, alert.key


def _title(items: Sequence[Item], worst: Severity) -> str:
    owners = {one.raised.alert.owner for one in items}
    whose = f" for {owner}" if len(owners) == 1 and (owner := next(iter(owners))) else ""
    counts = Counter(one.news for one in items)
    said = ", ".join(f"{counts[one]} {_WORDS[one]}" for one in News if counts[one])
    return f"{len(items)} alerts{whose}, {worst} at worst: {said}"


def _body(alerts: Sequence[Alert]) -> str:
    lines = [f"- {one.severity}: {one.title} [{one.key}]" for one in alerts[:LISTED]]
    if len(alerts) > LISTED:
        lines.append(f"… and {len(alerts) - LISTED} more; `credmgr findings` lists what is open")
    return "\n".join(lines)
