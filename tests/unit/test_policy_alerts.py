"""Alerts leave the outbox when every channel took them, and not before."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from credmgr.errors import NotifierError
from credmgr.model.finding import Alert, Severity
from credmgr.model.names import Name
from credmgr.plugins.notifier import Notifier
from credmgr.policy.alerts import LONGEST_RETRY, deliver
from credmgr.testing.clock import FakeClock

ALERT = Alert("k", Severity.WARNING, "o", "title", "body", datetime(2026, 1, 1, tzinfo=UTC))


@dataclass
class Waiting:
    id: UUID
    alert: Alert
    attempts: int


@dataclass
class FakeOutbox:
    waiting: list[Waiting]
    delivered: list[UUID] = field(default_factory=list)
    retries: list[datetime] = field(default_factory=list)

    def pending_alerts(self, now: datetime, limit: int) -> Sequence[Waiting]:
        del now
        return self.waiting[:limit]

    def alert_delivered(self, identity: UUID, now: datetime) -> None:
        del now
        self.delivered.append(identity)

    def alert_failed(self, identity: UUID, now: datetime, retry_at: datetime) -> None:
        del identity, now
        self.retries.append(retry_at)


@dataclass
class Channel:
    broken: bool = False
    heard: list[str] = field(default_factory=list)

    def deliver(self, alert: Alert) -> None:
        if self.broken:
            raise NotifierError("no answer")
        self.heard.append(alert.key)

    def close(self) -> None:
        pass


def send(outbox: FakeOutbox, clock: FakeClock, **channels: Channel) -> int:
    def open_channel(name: Name) -> Notifier:
        return channels[name]

    return deliver(outbox, [Name(name) for name in channels], open_channel, clock)


def test_every_channel_hears_of_it_and_it_leaves() -> None:
    outbox, one, two = FakeOutbox([Waiting(UUID(int=1), ALERT, 0)]), Channel(), Channel()
    assert send(outbox, FakeClock(), one=one, two=two) == 1
    assert (one.heard, two.heard) == (["k"], ["k"])
    assert outbox.delivered == [UUID(int=1)]


def test_a_channel_that_fails_keeps_it_waiting_with_growing_pauses() -> None:
    clock, pauses = FakeClock(), []
    for attempts in (0, 1, 2, 50):
        outbox = FakeOutbox([Waiting(UUID(int=1), ALERT, attempts)])
        assert send(outbox, clock, good=Channel(), bad=Channel(broken=True)) == 0
        assert outbox.delivered == []
        pauses.append(outbox.retries[0] - clock.now())
    assert pauses == [timedelta(seconds=30), timedelta(seconds=60), timedelta(seconds=120),
                      LONGEST_RETRY]  # fmt: skip


def test_without_channels_nothing_piles_up() -> None:
    outbox = FakeOutbox([Waiting(UUID(int=1), ALERT, 0)])
    assert send(outbox, FakeClock()) == 1
