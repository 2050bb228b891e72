"""From what is raised to messages: routed to channels, gathered in groups, held while it is quiet.

Each pass is one transaction that one process makes at a time, and it writes what every channel was
told together with the message that tells it. So nothing is lost or told twice by a crash between.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from credmgr.model.names import Name
from credmgr.model.outbox import Message, Raised, Telling
from credmgr.model.routing import Routing
from credmgr.policy.digest import Item, message
from credmgr.policy.telling import News, news, telling, told

ROUTED: Final = 1000
"""Alerts that are routed in one transaction."""
GATHERED: Final = 5000
"""Alerts that one message tells at most."""


class Desk(Protocol):
    """A transaction in which alerts become messages; implemented by `credmgr.store`."""

    def unrouted(self, limit: int) -> Sequence[Raised]:
        """Alerts that are news, longest waiting first."""
        ...

    def routed(self, keys: Iterable[str]) -> None:
        """They are news no more."""
        ...

    def known(self, keys: Iterable[str]) -> Sequence[Telling]:
        """What every channel knows of these alerts."""
        ...

    def raised(self, keys: Iterable[str]) -> Mapping[str, Raised]:
        """These alerts as they are now."""
        ...

    def last(self, channel: Name, batch: str) -> datetime | None:
        """When the last message of a batch was written."""
        ...

    def due(self, now: datetime) -> Sequence[tuple[Name, str]]:
        """Channel and batch of what is to leave now; one message of each is on its way at most."""
        ...

    def members(self, channel: Name, batch: str, now: datetime, limit: int) -> Sequence[Telling]:
        """What a message of a batch may tell now, longest waiting first."""
        ...

    def acknowledged(self, keys: Iterable[str]) -> frozenset[str]:
        """Those of these alerts whose finding somebody has seen."""
        ...

    def put(self, known: Sequence[Telling]) -> None:
        """Write what channels know, and when they hear of it next."""
        ...

    def drop(self, known: Sequence[Telling]) -> None:
        """Forget what channels know."""
        ...

    def post(self, message: Message, now: datetime) -> None:
        """Put a message on its way."""
        ...


class Outbox(Protocol):
    """Alerts on their way; implemented by `credmgr.store`."""

    def has_news(self, now: datetime) -> bool:
        """Whether an alert is to be routed, or a message to be written."""
        ...

    def desk(self) -> AbstractContextManager[Desk]:
        """A transaction in which alerts become messages; one at a time, whatever the process."""
        ...


def compose(outbox: Outbox, routing: Routing, now: datetime, new_id: Callable[[], UUID]) -> int:
    """Route what is news, and write the messages that are due.

    Args:
        outbox: Where both are.
        routing: Who hears of what.
        now: The time.
        new_id: Makes the id of a message.

    Returns:
        How many messages were written.
    """
    while outbox.has_news(now):
        with outbox.desk() as desk:
            fresh = desk.unrouted(ROUTED)
            _route(desk, routing, fresh)
            if len(fresh) < ROUTED:  # else what belongs together is not all there yet
                leaving = desk.due(now)
                return sum(_leave(desk, routing, one, now, new_id) for one in leaving)
    return 0


def _route(desk: Desk, routing: Routing, fresh: Sequence[Raised]) -> None:
    """Note for each channel when it hears of what is news."""
    if not fresh:
        return
    keys = [one.alert.key for one in fresh]
    known = {(one.key, one.channel): one for one in desk.known(keys)}
    by_key: dict[str, list[Telling]] = {}
    for one in known.values():
        by_key.setdefault(one.key, []).append(one)
    lasts, batches = _Lasts(desk), _batches(fresh, routing)
    kept: list[Telling] = []
    dropped: list[Telling] = []
    for raised in fresh:
        before = by_key.get(raised.alert.key, [])
        batch = batches[raised.alert.title]
        after = list(_tellings(raised, before, batch, routing, lasts))
        kept += after
        still = {one.channel for one in after}
        dropped += [one for one in before if one.channel not in still]
    desk.put(kept)
    desk.drop(dropped)
    desk.routed(keys)


def _batches(fresh: Sequence[Raised], routing: Routing) -> Mapping[str, str]:
    """By title, the batch of the worst of those that say the same: one message tells them all."""
    ranked = sorted((one.alert for one in fresh), key=lambda one: one.severity.rank)
    return {one.title: routing.route(one).pace.group(one) for one in ranked}


class _Lasts:
    """When the last message of each batch was written, asked once."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._known: dict[tuple[Name, str], datetime | None] = {}

    def __call__(self, channel: Name, batch: str) -> datetime | None:
        if (channel, batch) not in self._known:
            self._known[channel, batch] = self._desk.last(channel, batch)
        return self._known[channel, batch]


def _tellings(
    raised: Raised, before: Sequence[Telling], batch: str, routing: Routing, lasts: _Lasts
) -> Iterator[Telling]:
    """What every channel knows of an alert, with when it hears of it next.

    A channel to which it is routed no more hears of its end, if it heard of its beginning.
    """
    pace = routing.route(raised.alert).pace
    known = {one.channel: one for one in before}
    wanted = routing.to(raised.alert)
    for channel in dict.fromkeys((*wanted, *known)):
        if channel not in routing.channels:
            continue
        so_far = known.get(channel) or Telling(channel, raised.alert.key, batch)
        found = telling(raised, replace(so_far, batch=batch), pace, lasts(channel, batch))
        if found is None:
            continue
        if channel not in wanted and raised.open:
            found = replace(found, ready_at=None, due_at=None)
        yield found


def _leave(
    desk: Desk,
    routing: Routing,
    leaving: tuple[Name, str],
    now: datetime,
    new_id: Callable[[], UUID],
) -> int:
    """Write the message of a batch; returns how many that makes, which may be none."""
    channel, batch = leaving
    members = desk.members(channel, batch, now, GATHERED)
    if channel not in routing.channels:
        desk.drop(members)
        return 0
    raised = desk.raised(one.key for one in members)
    items = _items(desk, members, raised)
    if items:
        identity = new_id()
        text = message(items, batch, str(identity), now)
        desk.post(Message(identity, channel, batch, text), now)
    after = [_told(routing, one, raised.get(one.key), now) for one in members]
    desk.put([one for one in after if one is not None])
    desk.drop([one for one, known in zip(members, after, strict=True) if known is None])
    return int(bool(items))


def _items(desk: Desk, members: Sequence[Telling], raised: Mapping[str, Raised]) -> Sequence[Item]:
    """What there is to say; of what somebody has acknowledged nobody is reminded."""
    found = [
        (one.key, Item(raised[one.key], what))
        for one in members
        if one.key in raised and (what := news(raised[one.key], one)) is not None
    ]
    seen = desk.acknowledged(key for key, item in found if item.news is News.REMINDER)
    return [item for key, item in found if key not in seen or item.news is not News.REMINDER]


def _told(routing: Routing, known: Telling, raised: Raised | None, now: datetime) -> Telling | None:
    if raised is None:
        return None
    return told(raised, known, routing.route(raised.alert).pace, now)
