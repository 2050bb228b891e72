"""Handing messages to channels, each in its own time: one that is dead holds up no other."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from threading import Event as Flag
from typing import Final, Protocol
from uuid import uuid4

import structlog

from credmgr.errors import CredmgrError, NotifierError
from credmgr.model.audit import Event
from credmgr.model.clock import Clock
from credmgr.model.finding import Alert, Finding, Severity
from credmgr.model.names import Name
from credmgr.model.outbox import Message
from credmgr.model.routing import Routing, channel_key
from credmgr.plugins.notifier import Notifier
from credmgr.policy import alerts

BATCH: Final = 20
LEASE: Final = timedelta(minutes=1)
"""How long a channel is ours; renewed with every message."""
FIRST_RETRY: Final = timedelta(seconds=5)
LONGEST_RETRY: Final = timedelta(hours=1)
REFUSALS: Final = 5
"""How often a channel may refuse a message before it is given up."""
THREADS: Final = 8
TIDY: Final = timedelta(hours=1)

_log = structlog.get_logger("credmgr.alerts")

Notifiers = Callable[[Name], Notifier]
"""Opens a channel; may raise `CredmgrError`."""


class Outbox(alerts.Outbox, Protocol):
    """Messages on their way; implemented by `credmgr.store`."""

    def to_send(self, now: datetime) -> Sequence[Name]:
        """Channels that have something to deliver now and that nobody is at."""
        ...

    def claim(self, channel: Name, now: datetime, ttl: timedelta) -> int | None:
        """Take a channel, or keep it: how often it failed in a row; None when it is another's."""
        ...

    def release(self, channel: Name) -> None:
        """Let go of a channel."""
        ...

    def waiting(self, channel: Name, now: datetime, limit: int) -> Sequence[Message]:
        """A channel's messages to deliver now, oldest first."""
        ...

    def delivered(self, message: Message, now: datetime) -> None:
        """A channel took a message, so it works."""
        ...

    def failed(self, message: Message, why: str, now: datetime, retry_at: datetime) -> None:
        """A channel does not answer: all that it has waits until `retry_at`."""
        ...

    def refused(self, message: Message, why: str, retry_at: datetime | None) -> None:
        """A channel does not want a message: try that one again later, or never."""
        ...

    def forget(self, now: datetime) -> None:
        """Delete what nobody needs any more."""
        ...


class Ledger(Protocol):
    """Findings; implemented by `credmgr.store`."""

    def open_finding(self, finding: Finding, actor: str) -> bool:
        """Open a finding, or change the open one; whether that was news."""
        ...

    def resolve_finding(self, key: str, actor: str, now: datetime) -> bool:
        """End the open finding of a key; False when there is none."""
        ...

    def queue_alerts(self, raised: Sequence[Alert], event: Event) -> None:
        """Put alerts into the outbox."""
        ...


class Delivery:
    """Delivers what waits for one channel. Thread-safe.

    Args:
        outbox: Where it waits.
        ledger: Where a channel that takes nothing becomes a finding.
        clock: Time.
        actor: Who does it, for the audit chain.
    """

    def __init__(self, outbox: Outbox, ledger: Ledger, clock: Clock, actor: str) -> None:
        self._outbox, self._ledger = outbox, ledger
        self._clock, self._actor = clock, actor
        self.stopping = Flag()

    def run(self, channel: Name, notifiers: Notifiers) -> int:
        """Deliver a channel's messages, oldest first, until it takes no more; returns how many."""
        failures = self._outbox.claim(channel, self._clock.now(), LEASE)
        if failures is None:
            return 0
        count = 0
        try:
            for message in self._outbox.waiting(channel, self._clock.now(), BATCH):
                if self.stopping.is_set() or self._is_lost(channel):
                    break
                problem = self._problem(message, notifiers)
                if problem is None:
                    self._delivered(message, failures)
                    failures, count = 0, count + 1
                else:
                    failures = self._not_delivered(message, problem, failures)
                    if problem.retryable:
                        break
        finally:
            self._outbox.release(channel)
        return count

    def _is_lost(self, channel: Name) -> bool:
        """Whether another process has taken the channel over meanwhile."""
        return self._outbox.claim(channel, self._clock.now(), LEASE) is None

    def _problem(self, message: Message, notifiers: Notifiers) -> NotifierError | None:
        """Why the channel did not take a message; None when it did."""
        try:
            notifiers(message.channel).deliver(message.alert)
        except NotifierError as error:
            return error
        except CredmgrError as error:  # it cannot be opened until somebody mends it
            return NotifierError(error.message, hint=error.hint)
        return None

    def _delivered(self, message: Message, failures: int) -> None:
        now = self._clock.now()
        if failures:
            self._ledger.resolve_finding(channel_key(message.channel), self._actor, now)
        self._outbox.delivered(message, now)

    def _not_delivered(self, message: Message, problem: NotifierError, failures: int) -> int:
        """Write down that a message was not taken; returns how often that happened in a row."""
        now, why = self._clock.now(), problem.message
        _log.warning("not delivered", channel=message.channel, alert=message.alert.key, why=why)
        if problem.retryable:
            self._outbox.failed(message, why, now, now + pause(failures))
        else:
            given_up = message.attempts + 1 >= REFUSALS
            again = None if given_up else now + pause(message.attempts)
            self._outbox.refused(message, why, again)
        self._tell(message, problem, now)
        return failures + 1

    def _tell(self, message: Message, problem: NotifierError, now: datetime) -> None:
        """A channel that takes nothing is a finding, as bad as what it did not take."""
        channel = message.channel
        critical = message.alert.severity is Severity.CRITICAL
        severity = Severity.CRITICAL if critical else Severity.WARNING
        text = f"alerts do not get through {channel}: {problem.message}"
        finding = Finding(channel_key(channel), severity, text, now)
        if self._ledger.open_finding(finding, self._actor):
            hint = problem.hint or "It is tried again."
            alert = Alert(
                key=channel_key(channel),
                severity=severity,
                owner="",
                title=text,
                body=f"{hint}\n`credmgr notify test {channel}` tries it.",
                at=now,
                facts={"channel": channel, "reason": problem.code},
            )
            event = Event(self._actor, "channel.failed", channel, {"reason": problem.code})
            self._ledger.queue_alerts([alert], event)


def pause(failures: int) -> timedelta:
    """How long to wait after another failure."""
    return min(FIRST_RETRY * (1 << min(failures, 10)), LONGEST_RETRY)


class Dispatcher:
    """Composes and delivers when a timer asks; every channel has a thread of its own at a time.

    Args:
        outbox: Where alerts and messages are.
        ledger: Where findings are.
        clock: Time.
        actor: Who does it, for the audit chain.
    """

    def __init__(self, outbox: Outbox, ledger: Ledger, clock: Clock, actor: str) -> None:
        self._outbox, self._clock = outbox, clock
        self._delivery = Delivery(outbox, ledger, clock, actor)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="alerts")
        self._under_way: dict[Name, Future[int]] = {}
        self._tidied_at: datetime | None = None

    def tick(self, routing: Routing, notifiers: Notifiers) -> None:
        """Write the messages that are due and set out to deliver them.

        Raises:
            CredmgrError: What an earlier delivery ended with; the others went on.
        """
        now = self._clock.now()
        alerts.compose(self._outbox, routing, now, uuid4)
        ended = [name for name, future in self._under_way.items() if future.done()]
        done = [self._under_way.pop(name) for name in ended]
        for channel in self._outbox.to_send(now):
            if channel in routing.channels and channel not in self._under_way:
                self._under_way[channel] = self._pool.submit(self._delivery.run, channel, notifiers)
        if self._tidied_at is None or now - self._tidied_at >= TIDY:
            self._outbox.forget(now)
            self._tidied_at = now
        for future in done:
            future.result()

    def settle(self, bound: timedelta) -> bool:
        """Wait until what was set out is delivered or not; whether that was within the bound."""
        running = [one for one in self._under_way.values() if not one.cancelled()]
        return not wait(running, bound.total_seconds()).not_done

    def close(self, bound: timedelta) -> bool:
        """End after the messages that are just being delivered; whether that was within a bound."""
        self._delivery.stopping.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        return self.settle(bound)
