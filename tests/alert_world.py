"""Alerts on their way: a state database, channels that hear, and daemons that deliver."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from credmgr.errors import NotifierError
from credmgr.model.audit import Event
from credmgr.model.finding import Alert, Severity
from credmgr.model.names import Name
from credmgr.model.routing import Match, Pace, Route, Routing
from credmgr.plugins.notifier import Notifier
from credmgr.policy.alerts import compose
from credmgr.policy.delivery import Delivery, Dispatcher
from credmgr.store import Store, open_store
from credmgr.testing.clock import FakeClock

MAIL, PAGER = Name("mail"), Name("pager")
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
KEY = bytes(range(32))


@dataclass
class Channel:
    """A notifier that remembers, and that is broken while `problem` says how."""

    heard: list[Alert] = field(default_factory=list)
    problem: NotifierError | None = None
    loses_answers: bool = False

    def deliver(self, alert: Alert) -> None:
        if self.problem is not None:
            if self.loses_answers:
                self.heard.append(alert)
            raise self.problem
        self.heard.append(alert)

    def close(self) -> None:
        pass

    @property
    def titles(self) -> list[str]:
        return [one.title for one in self.heard]


@dataclass
class Alerts:
    """One installation; `dispatcher()` is another daemon of it."""

    store: Store
    url: str
    clock: FakeClock
    stack: ExitStack
    channels: dict[Name, Channel] = field(default_factory=lambda: {MAIL: Channel()})
    pace: Pace = field(default_factory=Pace)
    routes: tuple[Route, ...] = ()
    ids: Iterator[int] = field(default_factory=count)

    @property
    def mail(self) -> Channel:
        return self.channels[MAIL]

    @property
    def routing(self) -> Routing:
        names = tuple(self.channels)
        return Routing(names, self.routes, Route(Match(), names, self.pace))

    def open_channel(self, name: Name) -> Notifier:
        return self.channels[name]

    def alert(self, key: str = "key-age/app", **changes: Any) -> Alert:
        made = Alert(
            key, Severity.WARNING, "payments", f"{key} is amiss", "Mend it.", self.clock.now()
        )
        return replace(made, **changes)

    def raises(self, *alerts: Alert) -> None:
        self.store.ledger.queue_alerts(alerts, Event("test", "alert.raised", "test"))

    def ends(self, key: str = "key-age/app", **changes: Any) -> None:
        self.raises(self.alert(key, title=f"{key} is well again", resolved=True, **changes))

    def compose(self) -> int:
        outbox = self.store.outbox
        return compose(outbox, self.routing, self.clock.now(), lambda: UUID(int=next(self.ids)))

    def deliver(self, *names: Name) -> int:
        one = Delivery(self.store.outbox, self.store.ledger, self.clock, "daemon@test")
        wanted = names or self.store.outbox.to_send(self.clock.now())
        return sum(one.run(name, self.open_channel) for name in wanted if name in self.channels)

    def turn(self) -> int:
        """What a daemon does at each tick."""
        self.compose()
        return self.deliver()

    def run(self, span: timedelta, step: timedelta = SECOND * 30) -> None:
        """Let time pass, with a daemon at work."""
        end = self.clock.now() + span
        while self.clock.now() < end:
            self.turn()
            self.clock.advance(step)
        self.turn()

    def dispatcher(self, owner: str = "another") -> Dispatcher:
        store = self.open(owner)
        return Dispatcher(store.outbox, store.ledger, self.clock, owner)

    def open(self, owner: str) -> Store:
        return self.stack.enter_context(
            open_store(self.url, clock=self.clock, audit_key=KEY, owner=owner, migrate=True)
        )


@contextmanager
def alerts_in(folder: Path, url: str = "") -> Iterator[Alerts]:
    """An installation with one channel, `mail`, and the usual pace."""
    clock = FakeClock()
    url = url or f"sqlite:///{folder}/state.db"
    with ExitStack() as stack:
        store = stack.enter_context(
            open_store(url, clock=clock, audit_key=KEY, owner="daemon@test", migrate=True)
        )
        yield Alerts(store, url, clock, stack)
