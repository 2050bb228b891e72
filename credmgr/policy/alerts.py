"""Delivering the alerts in the outbox: at least once, however often the process restarts."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

import structlog

from credmgr.errors import CredmgrError
from credmgr.model.clock import Clock
from credmgr.model.finding import Alert
from credmgr.model.names import Name
from credmgr.plugins.notifier import Notifier

BATCH: Final = 100
FIRST_RETRY: Final = timedelta(seconds=30)
LONGEST_RETRY: Final = timedelta(hours=1)

_log = structlog.get_logger("credmgr.alerts")


class Pending(Protocol):
    """An alert that waits."""

    @property
    def id(self) -> UUID:
        """By which its delivery is reported."""
        ...

    @property
    def alert(self) -> Alert:
        """What to tell."""
        ...

    @property
    def attempts(self) -> int:
        """Deliveries that have failed so far."""
        ...


class Outbox(Protocol):
    """Where alerts wait; implemented by `credmgr.store`."""

    def pending_alerts(self, now: datetime, limit: int) -> Sequence[Pending]:
        """Those whose time has come, longest waiting first."""
        ...

    def alert_delivered(self, identity: UUID, now: datetime) -> None:
        """Take one out."""
        ...

    def alert_failed(self, identity: UUID, now: datetime, retry_at: datetime) -> None:
        """Try one again later."""
        ...


def deliver(
    outbox: Outbox,
    channels: Iterable[Name],
    notifier: Callable[[Name], Notifier],
    clock: Clock,
) -> int:
    """Hand what is pending to every channel; what any channel did not take is tried again.

    Returns:
        How many were delivered everywhere.
    """
    names, delivered = tuple(channels), 0
    for pending in outbox.pending_alerts(clock.now(), BATCH):
        failed = [name for name in names if not _delivered(pending.alert, name, notifier)]
        if failed:
            pause = min(FIRST_RETRY * (1 << min(pending.attempts, 10)), LONGEST_RETRY)
            outbox.alert_failed(pending.id, clock.now(), clock.now() + pause)
        else:
            outbox.alert_delivered(pending.id, clock.now())
            delivered += 1
    return delivered


def _delivered(alert: Alert, name: Name, notifier: Callable[[Name], Notifier]) -> bool:
    try:
        notifier(name).deliver(alert)
    except CredmgrError as error:
        _log.warning("alert not delivered", channel=str(name), alert=alert.key, why=str(error))
        return False
    return True
