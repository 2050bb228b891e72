"""`credmgr run`: a few interval timers over the state database, and an orderly end.

APScheduler is a timer only. What is due is a question to the database; each tick claims what is due
and hands it to a bounded pool, so the cost grows with what is due, never with what exists.
"""

import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import timedelta
from enum import Enum, auto
from queue import Empty, SimpleQueue
from threading import Event, Lock
from types import FrameType
from typing import Final

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor as TimerThreads
from apscheduler.schedulers.background import BackgroundScheduler

from credmgr import __version__
from credmgr.bootstrap import App, require_appliable
from credmgr.errors import (
    AuditBroken,
    ConfigError,
    CredmgrError,
    LeaseHeld,
    LeaseLost,
    NotAllowedNow,
    StateUnavailable,
)
from credmgr.manifest.manifest import Manifest
from credmgr.manifest.plan import Plan
from credmgr.model.audit import Event as AuditEvent
from credmgr.model.copy import Copy
from credmgr.model.finding import Alert, Finding, Severity
from credmgr.model.names import Name
from credmgr.policy.delivery import Dispatcher
from credmgr.policy.inspection import Inspection
from credmgr.store.heartbeats import Heartbeat

HEARTBEAT: Final = timedelta(seconds=10)
ALERTS: Final = timedelta(seconds=2)
CHECKPOINT: Final = timedelta(minutes=1)
TOKENS: Final = timedelta(seconds=1)
COPIES: Final = timedelta(seconds=1)
KEPT: Final = timedelta(seconds=5)
USAGE: Final = timedelta(seconds=10)
RULES: Final = timedelta(seconds=10)
ISSUERS: Final = timedelta(minutes=5)
AFTER_ERROR: Final = timedelta(minutes=1)
QUEUE: Final = 4
"""How many due credentials are claimed ahead for each worker."""

_log = structlog.get_logger("credmgr.daemon")


class Asked(Enum):
    """What a signal asks the daemon for."""

    STOP = auto()
    RELOAD = auto()


class Daemon:
    """The background process.

    Args:
        app: Everything wired.
        reread: Reads the manifest anew, on SIGHUP; raises `CredmgrError` when it is wrong.
        notify: Tells the service manager a state (`READY=1`).
        applies: Whether a manifest that is read anew is applied too.
    """

    def __init__(
        self,
        app: App,
        reread: Callable[[], Manifest],
        notify: Callable[[str], None],
        *,
        applies: bool = False,
    ) -> None:
        self._app = app
        self._reread = reread
        self._notify = notify
        self._applies = applies
        self._stop, self._adopting = Event(), Event()
        self._asked: SimpleQueue[Asked] = SimpleQueue()
        self._in_flight: dict[Name, Future[None]] = {}
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(app.manifest.daemon.workers, thread_name_prefix="rotation")
        self._dispatcher = Dispatcher(app.store.outbox, app.store.ledger, app.clock, app.actor)
        self._copies = ThreadPoolExecutor(app.manifest.daemon.workers, thread_name_prefix="copy")
        self._looking: set[Future[None]] = set()
        self._started_at = app.clock.now()
        self._inspection = Inspection(app.store.ledger)

    def run(self) -> bool:
        """Work until SIGTERM or SIGINT, then drain; True when all that was begun came to a rest."""
        self._listen()
        timers = self._timers()
        self.beat()
        timers.start()
        self._notify("READY=1")
        _log.info(
            "started",
            version=__version__,
            credentials=len(self._app.manifest.credentials),
            tick=str(self._app.manifest.daemon.tick),
        )
        while Asked.STOP not in (asked := self._hear()):
            self._notify("WATCHDOG=1")
            if Asked.RELOAD in asked:
                self.reload()
        self._stop.set()
        self._notify("STOPPING=1")
        timers.shutdown(wait=False)
        return self.drain()

    def tick(self) -> int:
        """Claim what is due and hand it to the pool; returns how many were claimed."""
        limit = self._app.manifest.daemon.workers * QUEUE
        with self._lock:
            self._in_flight = {n: f for n, f in self._in_flight.items() if not f.done()}
            room = limit - len(self._in_flight)
            if room <= 0 or self._stop.is_set() or self._adopting.is_set():
                return 0
            due = self._app.store.ledger.due(self._app.clock.now(), limit)
            fresh = [name for name in due if name not in self._in_flight][:room]
            for name in fresh:
                self._in_flight[name] = self._pool.submit(self.tend, name)
        return len(fresh)

    def tend(self, name: Name) -> None:
        """One credential's turn; the outermost edge, where an error is logged and work goes on."""
        log = _log.bind(credential=str(name))
        try:
            self._app.engine.tend(name)
        except (LeaseHeld, LeaseLost) as error:
            log.info("left to another process", why=error.message)
        except StateUnavailable as error:
            log.error("the state database cannot be written; nothing was done", why=error.message)  # noqa: TRY400
        except CredmgrError as error:
            log.error("cannot be tended", why=error.message, fix=error.hint)  # noqa: TRY400
            self._leave_alone(name)
        except Exception:
            log.exception("unexpected error; this credential is left alone for a while")
            self._leave_alone(name)

    def copies(self) -> int:
        """Claim the copies whose turn it is and hand them to their pool; how many there were.

        A place that does not answer keeps one thread for the length of a call, and no other copy.
        """
        self._looking = {one for one in self._looking if not one.done()}
        room = self._app.manifest.daemon.workers * QUEUE - len(self._looking)
        if room <= 0 or self._stop.is_set() or self._adopting.is_set():
            return 0
        claimed = self._app.keeper.claim(room)
        self._looking |= {self._copies.submit(self.keep, copy) for copy in claimed}
        return len(claimed)

    def keep(self, copy: Copy) -> None:
        """One copy's turn; the outermost edge, where an error is logged and work goes on."""
        self._guarded(f"copy {copy.place}", lambda: self._app.keeper.tend(copy))()

    def beat(self) -> None:
        """A sign of life, for `status`."""
        now = self._app.clock.now()
        self._app.store.ledger.beat(
            Heartbeat(
                owner=self._app.owner,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=__version__,
                started_at=self._started_at,
                seen_at=now,
            )
        )

    def alerts(self) -> None:
        """Write the messages that are due, and set out to deliver them."""
        notifiers = self._app.outside.notifiers
        self._dispatcher.tick(self._app.manifest.alerts, notifiers.__getitem__)

    def look(self) -> None:
        """Put the rules to the credentials whose time has come."""
        self._app.sweep().tick()

    def inspect(self) -> None:
        """Ask the issuers of some credentials for secrets that nobody manages."""
        self._inspection.some(self._app.outside)

    def checkpoint(self) -> None:
        """Keep the audit chain's head outside the database, to notice a cut tail."""
        try:
            self._app.write_checkpoint()
        except AuditBroken as error:
            self._tell(error)
            raise

    def _tell(self, error: AuditBroken) -> None:
        """A broken audit chain is told once; the checkpoint that shows it is left as it is."""
        now, ledger = self._app.clock.now(), self._app.store.ledger
        finding = Finding("audit/broken", Severity.CRITICAL, error.message, now)
        if ledger.open_finding(finding, self._app.actor):
            alert = Alert(
                key=finding.key,
                severity=finding.severity,
                owner="",
                title=error.message,
                body=error.hint or "",
                at=now,
            )
            event = AuditEvent(self._app.actor, "audit.broken", "audit")
            ledger.queue_alerts([alert], event)

    def reload(self) -> bool:
        """Take a changed manifest into use; a wrong one leaves the old one in force."""
        self._notify("RELOADING=1")
        try:
            manifest = self._reread()
            planned = self._app.plan(manifest)
            if self._applies:
                require_appliable(planned)
            self._adopting.set()
            if not self._settle(self._app.manifest.daemon.drain):
                raise NotAllowedNow("rotations are still moving; send SIGHUP again")
            if manifest.daemon != self._app.manifest.daemon:
                _log.warning("the section `daemon` has changed; it counts from the next start")
            self._app.adopt(manifest)
            self.take_up(planned)
        except CredmgrError as error:
            _log.error("the manifest is not taken over; the old one stays", why=error.message)
            return False
        finally:
            self._adopting.clear()
            self._notify("READY=1")
        _log.info("manifest taken over", credentials=len(manifest.credentials))
        return True

    def take_up(self, planned: Plan) -> None:
        """Apply what the manifest changes, or say that it waits for `credmgr apply`.

        Raises:
            NotAllowedNow: A step of the plan is refused.
        """
        if not planned.changing:
            return
        names = " ".join(step.name for step in planned.changing)
        if self._applies:
            self._app.apply(planned)
            _log.info("manifest applied", changed=names)
        else:
            _log.warning("the manifest is not applied; `credmgr apply` does", differs=names)

    def drain(self) -> bool:
        """Let what was begun come to a rest; True when all of it did within the bound."""
        bound = self._app.manifest.daemon.drain
        _log.info("stopping", in_flight=sum(not f.done() for f in self._in_flight.values()))
        self._app.engine.stopping.set()
        done = self._settle(bound) & self._dispatcher.close(HEARTBEAT)
        self._pool.shutdown(wait=done, cancel_futures=True)
        self._copies.shutdown(wait=done, cancel_futures=True)
        self._guarded("usage", self._app.broker.flush)()
        self._guarded("checkpoint", self.checkpoint)()
        self._guarded("heartbeat", lambda: self._app.store.ledger.stop(self._app.owner))()
        _log.info("stopped" if done else "stopped; what was unfinished goes on at the next start")
        return done

    def stop(self) -> None:
        """Ask for an orderly end."""
        self._asked.put(Asked.STOP)

    def _hear(self) -> frozenset[Asked]:
        """What has been asked for since the last time; waits for it one heartbeat at most."""
        asked: set[Asked] = set()
        with suppress(Empty):
            asked.add(self._asked.get(timeout=HEARTBEAT.total_seconds()))
            while True:
                asked.add(self._asked.get_nowait())
        return frozenset(asked)

    def _settle(self, bound: timedelta) -> bool:
        with self._lock:
            running = [*self._in_flight.values(), *self._looking]
        deadline = self._app.clock.monotonic() + bound
        while (left := deadline - self._app.clock.monotonic()) > timedelta():
            if not wait(running, timeout=min(left, HEARTBEAT).total_seconds()).not_done:
                return True
            self._notify("WATCHDOG=1")
        return not wait(running, timeout=0).not_done

    def _leave_alone(self, name: Name) -> None:
        ledger = self._app.store.ledger
        try:
            ledger.postpone(name, self._app.clock.now() + AFTER_ERROR)
        except CredmgrError as error:
            _log.warning("could not be postponed", credential=str(name), why=error.message)

    def _timers(self) -> BackgroundScheduler:
        timers = BackgroundScheduler(
            executors={"default": TimerThreads(8)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )
        for name, job, every in (
            ("rotations", self.tick, self._app.manifest.daemon.tick),
            ("heartbeat", self.beat, HEARTBEAT),
            ("alerts", self.alerts, ALERTS),
            ("checkpoint", self.checkpoint, CHECKPOINT),
            ("tokens", self._app.broker.tend, TOKENS),
            ("purges", self._app.broker.purge, TOKENS),
            ("copies", self.copies, COPIES),
            ("kept tokens", self._app.tokens.turn, KEPT),
            ("usage", self._app.broker.flush, USAGE),
            ("rules", self.look, RULES),
            ("issuers", self.inspect, ISSUERS),
        ):
            timers.add_job(
                self._guarded(name, job),
                "interval",
                seconds=every.total_seconds(),
                id=name,
                next_run_time=self._app.clock.now() + (every if every == ISSUERS else timedelta()),
            )
        return timers

    def _guarded(self, name: str, job: Callable[[], object]) -> Callable[[], None]:
        """A timer's outermost edge: an error is logged, and the next tick comes all the same."""

        def turn() -> None:
            try:
                job()
            except CredmgrError as error:
                _log.error("timer failed", timer=name, why=error.message)
            except Exception:  # noqa: BLE001 (the edge)
                _log.exception("timer failed", timer=name)

        return turn

    # A signal's handler runs between two instructions of the main thread, which may just then hold
    # the lock of an `Event`; a `SimpleQueue` may be put into even so.

    def _listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)

    def _on_stop(self, _: int, __: FrameType | None) -> None:
        self.stop()

    def _on_reload(self, _: int, __: FrameType | None) -> None:
        self._asked.put(Asked.RELOAD)


def systemd_notifier() -> Callable[[str], None]:
    """What tells systemd a state through `$NOTIFY_SOCKET` (sd_notify(3)); nothing without it.

    Raises:
        ConfigError: The socket is named but cannot be reached.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return lambda _: None
    target = f"\0{address[1:]}" if address.startswith("@") else address

    def notify(state: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            try:
                channel.sendto(state.encode(), target)
            except OSError as error:
                raise ConfigError(f"NOTIFY_SOCKET cannot be reached: {error.strerror}") from error

    return notify
