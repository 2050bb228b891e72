"""The daemon in this process: timers, edges, reloading, draining, the service manager."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event, Timer

import pytest
from structlog.testing import capture_logs

from credmgr.bootstrap import App, build
from credmgr.cli.home import make
from credmgr.daemon import AFTER_ERROR, Daemon, systemd_notifier
from credmgr.errors import AuditBroken, ConfigError, LeaseHeld, ManifestError, StateUnavailable
from credmgr.manifest import load
from credmgr.model.audit import Event as AuditEvent
from credmgr.model.names import Name
from credmgr.model.rotation import State
from credmgr.outside import Watch
from credmgr.rotation.engine import Engine
from credmgr.testing.clock import FakeClock

NAME = Name("caseforge/api-key")
MANIFEST = """
version: 1
state: {database: "sqlite:///state.db", master_key: "file:master.key"}
daemon: {tick: 1s, drain: 2s, workers: 2}
backends: {local: {plugin: local, path: secrets}}
issuers: {dashboard: {plugin: manual}}
notifiers: {log: {plugin: log}}
alerts: {group_wait: 0s}
defaults: {owner: payments, environment: development, store: local}
credentials:
  caseforge/api-key: {kind: api-key, issuer: dashboard}
"""
OTHER = "  caseforge/other: {kind: api-key, issuer: dashboard}\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    make(folder, MANIFEST)
    return folder


@pytest.fixture
def app(home: Path) -> Iterator[App]:
    made = build(load(home / "credmgr.yaml"), actor="daemon@test")
    made.apply(made.plan())
    yield made
    made.close()


def daemon(app: App, *, applies: bool = False, notify: Callable[[str], None] = print) -> Daemon:
    return Daemon(app, lambda: load(app.manifest.home / "credmgr.yaml"), notify, applies=applies)


def settled(one: Daemon) -> None:
    assert one._settle(timedelta(seconds=20))


def test_a_tick_tends_what_is_due_once(app: App) -> None:
    one = daemon(app)
    assert one.tick() == 1
    settled(one)
    row = app.store.ledger.open_rotation(NAME)
    assert row
    assert row.state is State.INTENT
    assert row.steps
    assert one.tick() == 0
    one.drain()


def test_a_person_hears_of_a_task_through_the_notifiers(app: App) -> None:
    one = daemon(app)
    one.tick()
    settled(one)
    with capture_logs() as lines:
        one.alerts()
        assert one._dispatcher.settle(timedelta(seconds=20))
    assert any(NAME in line["event"] for line in lines)
    assert not app.store.outbox.has_news(app.clock.now())
    one.drain()


def test_it_works_until_it_is_told_to_stop_and_leaves_a_heartbeat_meanwhile(app: App) -> None:
    said: list[str] = []
    one = daemon(app, notify=said.append)
    beats: list[int] = []

    def look_and_stop() -> None:
        beats.append(len(app.store.ledger.heartbeats()))
        one.stop()

    Timer(1.5, look_and_stop).start()
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        assert one.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    assert beats == [1]
    assert app.store.ledger.heartbeats() == []
    assert said[0] == "READY=1"
    assert said[-1] == "STOPPING=1"
    assert app.manifest.state.checkpoint.exists()


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def test_signals_stop_it_and_make_it_read_the_manifest_again(home: Path, app: App) -> None:
    one = daemon(app)
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    text = (home / "credmgr.yaml").read_text()
    (home / "credmgr.yaml").write_text(text + OTHER)
    Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGHUP)).start()
    Timer(2.0, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    try:
        assert one.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    assert Name("caseforge/other") in app.manifest.credentials


STORM = """
import signal, sys
from pathlib import Path

from credmgr.bootstrap import build
from credmgr.daemon import Daemon
from credmgr.manifest import load

app = build(load(Path(sys.argv[1])), actor="daemon@test")
heard = []


def interrupted(frame, event, _):
    if Path(frame.f_code.co_filename).name in {"daemon.py", "threading.py"} and len(heard) < 500:
        heard.append(frame.f_lineno)
        signal.raise_signal(signal.SIGHUP)
    elif len(heard) == 500:
        heard.append(0)
        signal.raise_signal(signal.SIGTERM)
    return interrupted


def begin(state):
    if state == "READY=1":
        sys.settrace(interrupted)


one = Daemon(app, lambda: app.manifest, begin)
one.reload = lambda: True
stopped = one.run()
sys.settrace(None)
sys.exit(not stopped or len(heard) < 500)
"""
"""A daemon whose main thread gets a signal before each line, wherever it is just then."""


def test_signals_that_interrupt_each_other_do_not_keep_it_from_stopping(
    home: Path, app: App
) -> None:
    assert app.manifest.home == home
    command = [sys.executable, "-c", STORM, str(home / "credmgr.yaml")]
    ended = subprocess.run(command, timeout=30, check=False)  # noqa: S603 (our own program)
    assert ended.returncode == 0


def test_a_wrong_manifest_leaves_the_old_one_in_force(home: Path, app: App) -> None:
    one, before = daemon(app), app.manifest
    (home / "credmgr.yaml").write_text(MANIFEST + "nonsense: true\n")
    with capture_logs() as lines:
        assert not one.reload()
    assert app.manifest is before
    assert "nonsense" in str(lines)
    one.drain()


def test_a_changed_state_section_needs_a_restart(home: Path, app: App) -> None:
    (home / "credmgr.yaml").write_text(MANIFEST.replace("state.db", "other.db"))
    one = daemon(app)
    assert not one.reload()
    one.drain()


def test_a_new_manifest_is_applied_only_where_that_is_wanted(home: Path, app: App) -> None:
    (home / "credmgr.yaml").write_text(MANIFEST + OTHER)
    watching, applying = daemon(app), daemon(app, applies=True)
    with capture_logs() as lines:
        assert watching.reload()
    assert "not applied" in str(lines)
    assert len(app.store.ledger.all_enrolled()) == 1
    assert applying.reload()
    assert len(app.store.ledger.all_enrolled()) == 2
    watching.drain()
    applying.drain()


def test_it_does_not_take_a_manifest_over_while_rotations_move(app: App) -> None:
    one, busy = daemon(app), Event()
    app.manifest = replace(app.manifest, daemon=replace(app.manifest.daemon, drain=QUICK))

    def hang() -> None:
        busy.wait()

    one._in_flight[NAME] = one._pool.submit(hang)
    assert not one.reload()
    assert not one.drain()
    busy.set()


QUICK = timedelta(milliseconds=50)


class Failing(Engine):
    """An engine whose turn ends in an error."""

    error: Exception

    def tend(self, name: Name) -> None:
        del name
        raise self.error


@pytest.mark.parametrize(
    ("error", "says", "postponed"),
    [
        (LeaseHeld("x is at it"), "left to another process", False),
        (StateUnavailable("the disk is full"), "cannot be written", False),
        (ConfigError("no such backend"), "cannot be tended", True),
        (RuntimeError("a bug"), "unexpected error", True),
    ],
)
def test_an_error_of_one_credential_is_logged_and_work_goes_on(
    app: App, error: Exception, says: str, *, postponed: bool
) -> None:
    engine = Failing(app.engine.tools, app.outside, app.owner, timedelta(seconds=60))
    engine.error = error
    app.engine = engine
    one = daemon(app)
    before = app.store.ledger.enrolled(NAME).next_due_at
    with capture_logs() as lines:
        one.tend(NAME)
    assert says in str(lines)
    after = app.store.ledger.enrolled(NAME).next_due_at
    assert before
    assert after
    assert (after > before + AFTER_ERROR / 2) is postponed
    one.drain()


def test_a_failing_timer_is_logged_and_comes_again(app: App) -> None:
    one = daemon(app)

    def broken() -> None:
        raise StateUnavailable("no disk")

    def bug() -> None:
        raise RuntimeError("a bug")

    with capture_logs() as lines:
        one._guarded("alerts", broken)()
        one._guarded("alerts", bug)()
    assert [line["event"] for line in lines] == ["timer failed", "timer failed"]
    one.drain()


def test_what_cannot_be_postponed_is_logged(app: App) -> None:
    one = daemon(app)
    app.store.close()
    app.manifest.home.joinpath("state.db").unlink()
    with capture_logs() as lines:
        one._leave_alone(NAME)
    assert "could not be postponed" in str(lines)


def test_the_service_manager_is_told_through_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        systemd_notifier()("READY=1")
        assert channel.recv(100) == b"READY=1"
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match="NOTIFY_SOCKET"):
        systemd_notifier()("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "@credmgr-test-that-nobody-listens-to")
    with pytest.raises(ConfigError):
        systemd_notifier()("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    systemd_notifier()("READY=1")


def cut(app: App, records: int) -> None:
    """Delete the newest records, as somebody with the database file in hand can."""
    with app.store.ledger._database.write() as tx:
        for trigger in tx.connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'"
        ).scalars():
            tx.connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        tx.connection.exec_driver_sql(
            f"DELETE FROM audit WHERE sequence > (SELECT max(sequence) - {records} FROM audit)"  # noqa: S608
        )


def test_a_cut_audit_chain_stays_evident_and_is_told_once(app: App) -> None:
    one = daemon(app)
    for _ in range(5):
        app.store.audit.append(AuditEvent("operator:test", "test", "test"))
    one.checkpoint()
    before = app.manifest.state.checkpoint.read_bytes()
    cut(app, 3)
    for _ in range(2):
        with pytest.raises(AuditBroken, match="no longer has record"):
            one.checkpoint()
    assert app.manifest.state.checkpoint.read_bytes() == before
    assert len(app.store.outbox.open_alerts()) == 1
    with pytest.raises(AuditBroken):
        app.verify_audit()
    one.drain()
    assert app.manifest.state.checkpoint.read_bytes() == before


def test_a_database_that_was_lost_is_not_begun_anew(home: Path, app: App) -> None:
    app.write_checkpoint()
    app.close()
    for part in home.glob("state.db*"):
        part.unlink()
    with pytest.raises(AuditBroken, match="no longer has record"):
        build(load(home / "credmgr.yaml"), migrate=True)


def test_an_app_refuses_what_its_manifest_does_not_have(app: App) -> None:
    with pytest.raises(ConfigError, match="no backend elsewhere"):
        app.outside.backends[Name("elsewhere")]


def test_an_app_takes_a_clock_and_a_watch(home: Path) -> None:
    clock = FakeClock()
    made = build(load(home / "credmgr.yaml"), clock=clock, watch=Watch())
    assert made.clock is clock
    assert made.actor.startswith("operator:")
    made.close()


def test_a_wrong_manifest_never_becomes_an_app(tmp_path: Path) -> None:
    with pytest.raises(ManifestError):
        load(tmp_path / "none.yaml")
