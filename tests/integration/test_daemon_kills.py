"""A real daemon is killed with SIGKILL at every point of a rotation, and started again.

The sandbox keeps the ground truth, and a consumer logs in every 50 ms with what it reads from the
store, and with what it read a moment ago. Nothing is simulated: two processes, one state database,
one encrypted store, real HTTP.
"""

import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
import structlog
import urllib3

from credmgr.bootstrap import App, build
from credmgr.cli.home import make
from credmgr.model.credential import Place
from credmgr.model.names import Name
from credmgr.model.rotation import Rotation, State
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.sandbox import RunningSandbox, SandboxConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NAME = Name("caseforge/api-key")
HARNESS = Path(__file__).parents[1] / "crash_main.py"
PARALLEL = 6
BOUND = 66  # a rotation has fewer points than this, or the test says so
PATIENCE = 40.0
REFRESH = timedelta(milliseconds=500)  # the overlap is more than twice as long

MANIFEST = """
version: 1
state: {{database: "{database}", master_key: "file:master.key"}}
daemon: {{tick: 1s, lease: 2s, drain: 5s, workers: 2}}
backends:
  local: {{plugin: local, path: secrets}}
  mirror: {{plugin: local, path: mirror}}
issuers:
  caseforge: {{plugin: caseforge, url: "{url}", admin_token: "file:admin.token"}}
credentials:
  caseforge/api-key:
    kind: api-key
    issuer: caseforge
    owner: payments
    environment: development
    scopes: ["cases:read"]
    store: local
    targets: [{{backend: mirror}}]
    options: {{key_name: "{key}"}}
    rotation:
      every: {every}
      overlap: {{minimum: 2s, maximum: 4s}}
      retry: {{first: 1s, ceiling: 1s, attempts: 20, verify_for: 10s}}
"""


@dataclass
class Case:
    """One installation, its consumer, and one kill."""

    home: Path
    sandbox: RunningSandbox
    key: str
    database: str
    failures: list[str] = field(default_factory=list)
    logins: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def write(self, every: str) -> Path:
        path = self.home / "credmgr.yaml"
        text = MANIFEST.format(
            database=self.database, url=self.sandbox.url, key=self.key, every=every
        )
        path.write_text(text)
        return path

    def set_up(self) -> App:
        """An installation whose first secret is in place."""
        self.home.mkdir(mode=0o700)
        (self.home / "admin.token").write_text(self.sandbox.admin_token.reveal())
        (self.home / "admin.token").chmod(0o600)
        text = MANIFEST.format(
            database=self.database, url=self.sandbox.url, key=self.key, every="1h"
        )
        app = build(make(self.home, text), actor="operator:test")
        app.apply(app.plan())
        first = app.engine.tend(NAME)
        assert first
        assert first.state is State.DONE
        return app

    def daemon(self, number: int, report: Path) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, str(HARNESS), str(number), str(report)]
        with (self.home / "daemon.log").open("ab") as log:
            started = subprocess.Popen(  # noqa: S603
                [*arguments, "--manifest", str(self.home / "credmgr.yaml"), "run", "--apply"],
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "CREDMGR_LOG_FORMAT": "console"},
            )
        self.processes.append(started)
        return started

    def end(self) -> None:
        """No daemon outlives its case."""
        for process in self.processes:
            process.kill()
            process.wait()

    def consume(self, app: App, stop: Event) -> None:
        """Log in every 50 ms with either copy: as it reads now, and as it was read a moment ago."""
        places = [Place(Name(backend), NAME) for backend in ("local", "mirror")]
        kept: dict[Place, tuple[timedelta, Secret]] = {}
        with urllib3.PoolManager(retries=False) as pool:
            while not stop.wait(0.05):
                for place in places:
                    fresh = app.outside.backends[place.backend].read(NAME, Stage.CURRENT).secret
                    self._login(pool, fresh)
                    now = app.clock.monotonic()
                    if place not in kept or now - kept[place][0] >= REFRESH:
                        kept[place] = (now, fresh)
                    self._login(pool, kept[place][1])

    def _login(self, pool: urllib3.PoolManager, secret: Secret) -> None:
        headers = {"Authorization": f"Bearer {secret.reveal()}"}
        answer = pool.request("GET", f"{self.sandbox.url}/v2/cases?status=open", headers=headers)
        self.logins += 1
        if answer.status != 200:
            self.failures.append(f"a consumer got {answer.status}")

    def violations(self, app: App) -> Iterator[str]:
        """What does not hold at the end (DESIGN §4), against the sandbox's own record."""
        yield from (f"I1: {failure}" for failure in self.failures[:1])
        live = [one for one in self.sandbox.secrets.live() if one.credential == self.key]
        known = {one.secret_id for one in app.store.ledger.versions(NAME)}
        yield from (f"I2: {one.id} is unknown" for one in live if one.id not in known)
        if app.store.ledger.open_rotation(NAME) is None and len(live) != 1:
            yield f"I4: {len(live)} secrets are live"
        held = [
            [(v.version, v.stage) for v in app.outside.backends[Name(name)].versions(NAME)]
            for name in ("local", "mirror")
        ]
        if app.store.ledger.open_rotation(NAME) is None and (
            held[0] != held[1] or [stage for _, stage in held[0]] != [Stage.CURRENT]
        ):
            yield f"I4: the copies hold {held}"
        created = [e for e in self.sandbox.log.entries() if e.kind == "secret-created"]
        labels = [e.who.label for e in created if e.who and e.who.credential == self.key]
        if len(labels) != len(set(labels)):
            yield "I7: a label was used twice"
        app.verify_audit()


def until(true: Callable[[], object], what: str, pause: float = 0.05) -> None:
    """Wait for something, within reason."""
    never, waited = Event(), 0.0
    while not true():
        never.wait(pause)
        waited += pause
        assert waited < PATIENCE, f"never: {what}"


def kill_at(case: Case, number: int) -> tuple[str, str]:
    """Kill the daemon at one point, start it again, let it finish; the point and the outcome."""
    report = case.home / "killed-at"
    app, stop = case.set_up(), Event()
    consumer = Thread(target=case.consume, args=(app, stop))
    consumer.start()
    try:
        case.write("3s")
        daemon = case.daemon(number, report)

        def ended() -> list[Rotation]:
            return [row for row in app.store.ledger.rotations(NAME, 9) if not row.open]

        until(lambda: daemon.poll() is not None or len(ended()) >= 2, "a kill or a whole rotation")
        if daemon.poll() is None:
            daemon.send_signal(signal.SIGTERM)
            if daemon.wait(timeout=20) == 0:
                return "", "not reached"
        assert daemon.returncode == -signal.SIGKILL, (case.home / "daemon.log").read_text()[-2000:]
        before = len(ended())
        after = case.daemon(-1, report)
        until(lambda: len(ended()) > before, f"the end of a rotation killed at {number}")
        case.write("1h")
        until(lambda: hung_up(after) and slow(app), "a manifest applied on SIGHUP", pause=1)
        until(lambda: app.store.ledger.open_rotation(NAME) is None, "rest")
        _stop(after)
        return report.read_text(), str(app.store.ledger.rotations(NAME, 1)[0].state)
    finally:
        case.end()
        stop.set()
        consumer.join()
        found = list(case.violations(app))
        app.close()
        assert found == [], (number, report.read_text() if report.exists() else "")


def hung_up(daemon: subprocess.Popen[bytes]) -> bool:
    """Ask it to read its manifest again; it may be busy at first, so more than once."""
    daemon.send_signal(signal.SIGHUP)
    return True


def slow(app: App) -> bool:
    """Whether the schedule is hourly again, so that no further rotation comes."""
    applied = app.store.ledger.enrolled(NAME).credential.policy.schedule.every
    return applied == timedelta(hours=1)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(timeout=20) == 0


@pytest.fixture
def quiet() -> Iterator[None]:
    """The sandbox runs in this process and would log each of the consumers' calls."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def new_database(request: pytest.FixtureRequest) -> Callable[[], str]:
    """What gives the URL of a fresh state database."""
    if request.param == "sqlite":
        return lambda: "sqlite:///state.db"
    made: Callable[[], str] = request.getfixturevalue("new_postgres")
    return made


@pytest.mark.usefixtures("quiet")
def test_a_daemon_killed_at_any_point_of_a_rotation_breaks_nothing(
    tmp_path: Path, new_database: Callable[[], str]
) -> None:
    with RunningSandbox(SandboxConfig(port=0)) as sandbox:

        def run(number: int) -> tuple[str, str]:
            home = tmp_path / f"case-{number}"
            case = Case(home, sandbox, f"case-{number}", new_database())
            answer = kill_at(case, number)
            assert case.logins > 10
            return answer

        table: list[tuple[str, str]] = []
        with ThreadPoolExecutor(PARALLEL) as pool:
            for first in range(0, BOUND, PARALLEL):
                table += pool.map(run, range(first, first + PARALLEL))
                if any(point == "" for point, _ in table):
                    break
            else:
                pytest.fail(f"more than {BOUND} points")
    killed = [(point, outcome) for point, outcome in table if point]
    lines = [f"{point:32} {outcome}" for point, outcome in killed]
    count = f"{len(killed)} kills: {dict(Counter(outcome for _, outcome in killed))}"
    (tmp_path / "kills.txt").write_text("\n".join([*lines, count, ""]))
    assert len(killed) > 20
    assert {outcome for _, outcome in killed} == {"DONE"}
