"""A sandbox's life: starting, stopping by signal, coming back where it was, and what it logs."""

import io
import logging
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import structlog
import urllib3

from credmgr.errors import ConfigError, SchemaTooNew, StateUnavailable
from credmgr.model.secret import Secret
from credmgr.sandbox import Effect, Fault, RunningSandbox, SandboxConfig, serve
from tests.sandbox_box import APPLICATION, running_box

PROGRAM = """
import sys
from pathlib import Path
from credmgr.sandbox import SandboxConfig, serve
database, token = map(Path, sys.argv[1:])
config = SandboxConfig(database=database, port=0, admin_token_file=token)
serve(config, ready=lambda url: print(f"READY {url}", flush=True))
print("STOPPED", flush=True)
"""


@contextmanager
def process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    database, token = folder / "deep" / "sandbox.db", folder / "deep" / "admin-token"
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, database, token], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        try:
            url = next(line for line in running.stdout if line.startswith("READY")).split()[1]
            yield running, url, token.read_text().strip()
        finally:
            running.kill()


def create(url: str, admin: str, label: str) -> dict[str, Any]:
    answer = urllib3.request(
        "POST",
        f"{url}{APPLICATION}/secrets",
        headers={"Authorization": f"Bearer {admin}"},
        json={"label": label},
    )
    assert answer.status == 201
    created: dict[str, Any] = answer.json()
    return created


def ask_token(url: str, value: str) -> str:
    """As the documentation's cURL does it."""
    answer = urllib3.request(
        "POST",
        f"{url}/oauth/token",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=f"grant_type=client_credentials&client_id=app_8v3k9m&client_secret={value}"
        "&scope=cases:read+cases:write",
    )
    assert answer.status == 200, answer.data
    assert answer.json()["scope"] == "cases:read cases:write"
    return str(answer.json()["access_token"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with process(tmp_path) as (running, url, _):
        assert urllib3.request("GET", url).status == 200
        running.send_signal(number)
        out, _ = running.communicate(timeout=20)

    assert out.endswith("STOPPED\n")
    assert running.returncode == 0


def test_a_killed_sandbox_comes_back_with_everything_it_answered(tmp_path: Path) -> None:
    with process(tmp_path) as (running, url, admin):
        created = create(url, admin, "survivor")
        token = ask_token(url, created["value"])
        keys = urllib3.request("GET", f"{url}/.well-known/jwks.json").json()
        running.kill()

    with process(tmp_path) as (_, url, again):
        assert again == admin
        bearer = {"Authorization": f"Bearer {token}"}
        assert urllib3.request("GET", f"{url}/v2/cases", headers=bearer).status == 200
        assert urllib3.request("GET", f"{url}/.well-known/jwks.json").json() == keys
        assert ask_token(url, created["value"])
        log = urllib3.request(
            "GET", f"{url}/manage/v1/log", headers={"Authorization": f"Bearer {admin}"}
        ).json()["items"]

    assert [entry["seq"] for entry in log] == list(range(1, len(log) + 1))
    assert [entry["kind"] for entry in log if entry["label"] == "survivor"] == [
        "secret-created",
        "token-issued",
        "api-accepted",
        "token-issued",
    ]


def test_its_files_are_private_and_hold_no_value(tmp_path: Path) -> None:
    with process(tmp_path) as (_, url, admin):
        value = create(url, admin, "hidden")["value"]
        for file in (tmp_path / "deep").iterdir():
            assert file.stat().st_mode & 0o077 == 0
            assert value.encode() not in file.read_bytes()


def test_data_changed_before_a_restart_is_still_changed_after_it(tmp_path: Path) -> None:
    with running_box(database=tmp_path / "sandbox.db") as box:
        key = box.key()["value"]
        box.call("POST", "/v2/cases/case_204101/assign", bearer=key, json={"assignee": "me"})
        box.manage("PUT", "/applications/app_8v3k9m", {"name": "Renamed", "scopes": []})
        box.sandbox.faults.add(Fault(effect=Effect.DROP))

    with running_box(database=tmp_path / "sandbox.db") as box:
        assert box.call("GET", "/v2/cases/case_204101", bearer=key).json()["assignee"] == "me"
        application = box.manage("GET", "/applications/app_8v3k9m").json()

    assert (application["name"], application["scopes"]) == ("Renamed", [])


def test_a_running_sandbox_can_be_entered_again(tmp_path: Path) -> None:
    sandbox = RunningSandbox(SandboxConfig(port=0, database=tmp_path / "sandbox.db"))
    with sandbox:
        first = sandbox.log.entries()
    with sandbox:
        assert sandbox.log.entries() == first


def test_an_event_stops_it_from_another_thread() -> None:
    stop, ready = Event(), Event()
    urls: list[str] = []

    def on_ready(url: str) -> None:
        urls.append(url)
        ready.set()

    config = SandboxConfig(port=0)
    thread = Thread(target=serve, args=(config,), kwargs={"stop": stop, "ready": on_ready})
    thread.start()
    assert ready.wait(10)
    assert urllib3.request("GET", urls[0]).status == 200

    stop.set()
    thread.join(10)

    assert not thread.is_alive()


def test_in_the_main_thread_it_puts_signal_handlers_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = Event()
    stop.set()

    serve(SandboxConfig(port=0), stop=stop)

    assert signal.getsignal(signal.SIGTERM) is before


def test_a_taken_port_is_a_clear_error() -> None:
    with running_box() as box:
        port = int(box.sandbox.url.rpartition(":")[2])
        with pytest.raises(ConfigError, match=f"nothing can listen on 127.0.0.1 port {port}"):
            serve(SandboxConfig(port=port))


def test_it_listens_on_ipv6_too() -> None:
    with running_box(host="::1") as box:
        assert box.sandbox.url.startswith("http://[::1]:")
        assert box.call("GET", "/").status == 200


@pytest.mark.slow
def test_two_sandboxes_never_share_a_database(tmp_path: Path) -> None:
    with running_box(database=tmp_path / "sandbox.db") as box:
        with (
            pytest.raises(StateUnavailable, match="locked"),
            running_box(database=tmp_path / "sandbox.db"),
        ):
            pass
        assert box.call("GET", "/").status == 200


def test_a_database_of_a_newer_credmgr_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()

    with pytest.raises(SchemaTooNew), running_box(database=path):
        pass


def test_what_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "sandbox.db").write_bytes(b"not a database" * 100)

    with pytest.raises(StateUnavailable, match="not a database"):
        serve(SandboxConfig(port=0, database=tmp_path / "sandbox.db"))


def test_a_database_that_fails_is_answered_with_a_503(tmp_path: Path) -> None:
    with running_box(database=tmp_path / "sandbox.db") as box:
        token = box.token()
        box.sandbox._up.box._database._connection.execute("PRAGMA query_only=1")
        answer = box.call("GET", "/v2/cases", bearer=token)

    assert (answer.status, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert answer.headers["Retry-After"] == "1"


def test_a_failure_of_its_own_is_answered_with_a_500(caplog: pytest.LogCaptureFixture) -> None:
    with running_box() as box:
        key = box.key()["value"]
        sql = "UPDATE records SET body = '{}' WHERE id = 'case_204101'"
        box.sandbox._up.box._database.write(sql)
        with caplog.at_level(logging.CRITICAL, "uvicorn.error"):
            answer = box.call(
                "POST", "/v2/cases/case_204101/assign", bearer=key, json={"assignee": "me"}
            )

    assert (answer.status, answer.json()["error"]) == (500, "server_error")


@contextmanager
def logging_into(stream: io.StringIO) -> Iterator[None]:
    structlog.configure(
        processors=[structlog.processors.JSONRenderer(ensure_ascii=False)],
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.reset_defaults()


def test_the_access_log_tells_a_story_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    stream = io.StringIO()
    with (
        caplog.at_level(logging.DEBUG),
        logging_into(stream),
        running_box(admin_token=Secret("admin-canary")) as box,
    ):
        secret, key = box.secret("rotation-1"), box.key()
        token = box.token(secret["value"])
        box.ask_token("wrong-canary")
        box.form("/oauth/token?client_secret=url-canary", {"grant_type": "x"})
        box.call("GET", "/v2/cases", bearer=token)
        box.call("GET", f"/v2/cases/{key['value']}", bearer=key["value"])
        box.call("GET", f"/elsewhere/{secret['value']}", bearer="bearer-canary")
        box.call("GET", "/v2/cases", bearer="cf_live_canary")
        box.sandbox.faults.add(Fault(effect=Effect.DROP))
        with pytest.raises(urllib3.exceptions.ProtocolError):
            box.call("GET", "/")

    told = stream.getvalue()
    assert '"event": "issued a new secret"' in told
    assert '"event": "handed out an access token"' in told
    assert '"label": "rotation-1"' in told
    assert '"route": "GET nothing here"' in told
    assert '"faults": ["drop"]' in told
    assert '"answer": "none"' in told
    for value in (secret["value"], key["value"], token, "canary"):
        assert value not in told
    # The client's own library logs the addresses it calls, so only the sandbox's side is searched.
    ours = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("urllib3"))
    assert "canary" not in ours


def test_old_entries_of_the_ground_truth_are_dropped() -> None:
    with running_box(keep_log_entries=10) as box:
        log = box.sandbox.log
        entry = log.entries()[0]
        for _ in range(1000):
            log.append(entry.kind, entry.who)

        assert [entry.seq for entry in log.entries()][:2] == [991, 992]


def test_a_sandbox_in_memory_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with running_box() as box:
        box.secret()
        assert list(tmp_path.iterdir()) == []
