"""Prometheus's own tools: Alertmanager takes our alerts, promtool takes our rules."""

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import urllib3
import yaml

from credmgr.model.clock import SystemClock
from credmgr.model.finding import Finding, Severity
from credmgr.notifiers.alertmanager import AlertmanagerNotifierFactory, AlertmanagerOptions
from credmgr.notifiers.posting import Post
from credmgr.plugins.notifier import NotifierRefused
from credmgr.testing.notifier_contract import an_alert
from tests.channel_world import channel_context
from tests.integration.api_world import MANIFEST, serving

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNPACKED = str(Path(sys.prefix) / "debian/usr/bin")
"""Where `make test` unpacks Debian's packages."""
METRICS = (ROOT / "credmgr/api/metrics.py").read_text()
QUIET = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


def program(name: str) -> str:
    found = shutil.which(name, path=UNPACKED) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return found


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path, folder = program("prometheus-alertmanager"), tmp_path_factory.mktemp("alertmanager")
    (folder / "config.yml").write_text(QUIET)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        path,
        f"--config.file={folder / 'config.yml'}",
        f"--storage.path={folder}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with subprocess.Popen(  # noqa: S603 (Debian's own program)
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(f"{url}/-/ready")
            yield url
        finally:
            running.terminate()


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            if urllib3.request("GET", url, retries=False).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            pass
        Event().wait(0.1)
    raise AssertionError("it never came up")


def firing(url: str) -> list[dict[str, Any]]:
    answer = urllib3.request("GET", f"{url}/api/v2/alerts?active=true", retries=False)
    found: list[dict[str, Any]] = json.loads(answer.data)
    return found


def test_alertmanager_has_what_is_open_and_no_more(alertmanager: str) -> None:
    notifier = AlertmanagerNotifierFactory().open(
        AlertmanagerOptions(alertmanager), channel_context()
    )
    alert = replace(an_alert(), at=SystemClock().now(), id="m-1")
    notifier.deliver(alert)
    notifier.deliver(alert)
    (one,) = firing(alertmanager)
    assert one["labels"] == {
        "alertname": "rotation-parked:caseforge",
        "severity": "warning",
        "owner": "payments-team",
        "key": alert.key,
    }
    assert one["annotations"]["summary"] == alert.title
    notifier.deliver(replace(alert, severity=Severity.CRITICAL))
    assert [one["labels"]["severity"] for one in firing(alertmanager)] == ["critical"]
    several = replace(an_alert(), items=(an_alert(), an_alert()))
    notifier.deliver(several)
    assert len(firing(alertmanager)) == 3
    for each in (alert, *several.items):
        notifier.deliver(replace(each, resolved=True))
    assert firing(alertmanager) == []


def test_alertmanager_says_what_it_does_not_want(alertmanager: str) -> None:
    post = Post(f"{alertmanager}/api/v2/alerts", (), None, channel_context())
    with pytest.raises(NotifierRefused):
        post.send(b"[{}]", {})


def test_promtool_takes_the_rules_and_they_fire_when_they_should() -> None:
    path = program("promtool")
    for arguments in (
        ["check", "rules", "credmgr.rules.yaml"],
        ["test", "rules", "credmgr.tests.yaml"],
    ):
        done = subprocess.run(  # noqa: S603 (likewise)
            [path, *arguments],
            cwd=DEPLOY / "prometheus",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_metrics_say_how_channels_are_doing(tmp_path: Path) -> None:
    text = MANIFEST + "notifiers: {{log: {{plugin: log}}}}\n"
    with serving(tmp_path, text=text) as world:
        found = Finding("key-age/a", Severity.WARNING, "old", world.app.clock.now())
        world.app.store.ledger.open_finding(found, "test")
        said = world.ask("GET", "/metrics", "watcher").body
    lines = said.decode().splitlines()
    assert 'credmgr_findings_open_by_rule{rule="key-age"} 1' in lines
    assert 'credmgr_alerts_waiting{channel="log"} 0' in lines
    assert 'credmgr_alerts_failures{channel="log"} 0' in lines
    done = subprocess.run(  # noqa: S603 (likewise)
        [program("promtool"), "check", "metrics"], input=said, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def expressions() -> Iterator[str]:
    """What the rules and the dashboard ask Prometheus for."""
    rules = yaml.safe_load((DEPLOY / "prometheus/credmgr.rules.yaml").read_text())
    yield from (rule["expr"] for rule in rules["groups"][0]["rules"])
    board = json.loads((DEPLOY / "grafana/credmgr.json").read_text())
    yield from (target["expr"] for panel in board["panels"] for target in panel["targets"])


@pytest.mark.parametrize("expression", [*expressions()])
def test_the_rules_and_the_dashboard_speak_of_metrics_that_there_are(expression: str) -> None:
    names = set(re.findall(r"credmgr_\w+", expression))
    assert names or "up{" in expression
    assert {name for name in names if f'"{name}"' not in METRICS} == set()
