"""What a message says: one alert as it is, several as a list with counts."""

from collections import Counter
from collections.abc import Iterator, Sequence
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
ENDED: Final = "It has ended; nothing is left to do."
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
                return replace(alert, title=f"Resolved: {alert.title}", body=ENDED, resolved=True)
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
    alerts = [one.alert for one in ordered]
    same = _same(alerts)
    if len(same) == 1:
        return _single(alerts, identity)
    worst = max((one.alert.severity for one in _open(ordered) or ordered), key=lambda one: one.rank)
    owners = {one.owner for one in alerts}
    places = {one.environment for one in alerts}
    return Alert(
        key=f"digest/{batch}",
        severity=worst,
        owner=owners.pop() if len(owners) == 1 else "",
        title=_title(ordered, worst),
        body=_body(same),
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


def _same(alerts: Sequence[Alert]) -> Sequence[Sequence[Alert]]:
    """Alerts that say the same, as rules of two packs do of one cause; the worst of them first."""
    by_title: dict[str, list[Alert]] = {}
    for one in alerts:
        by_title.setdefault(one.title, []).append(one)
    return list(by_title.values())


def _single(alerts: Sequence[Alert], identity: str) -> Alert:
    """The first of alerts that say the same, with the keys of the others."""
    first, *others = alerts
    if not others:
        return replace(first, id=identity)
    also = [f"Also: {one.severity} [{one.key}]" for one in others]
    body = "\n".join([first.body, *also])
    return replace(first, body=body, id=identity, items=tuple(alerts[:ITEMS]))


def _title(items: Sequence[Item], worst: Severity) -> str:
    owners = {one.raised.alert.owner for one in items}
    whose = f" for {owner}" if len(owners) == 1 and (owner := next(iter(owners))) else ""
    counts = Counter(one.news for one in items)
    said = ", ".join(f"{counts[one]} {_WORDS[one]}" for one in News if counts[one])
    return f"{len(items)} alerts{whose}, {worst} at worst: {said}"


def _body(same: Sequence[Sequence[Alert]]) -> str:
    lines = [line for alerts in same[:LISTED] for line in _listed(alerts)]
    if len(same) > LISTED:
        lines.append(f"… and {len(same) - LISTED} more; `credmgr findings list` has them all")
    return "\n".join(lines)


def _listed(alerts: Sequence[Alert]) -> Iterator[str]:
    """A line, and below it what to do about what is open."""
    first, keys = alerts[0], "".join(f" [{one.key}]" for one in alerts)
    yield f"- {first.severity}: {first.title}{keys}"
    if first.body and not first.resolved:
        yield f"  {first.body.splitlines()[0]}"
