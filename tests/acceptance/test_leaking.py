"""The bad day: a leaked secret is dead, replaced and accounted for, or it is said what is not."""

import json
import re
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event
from typing import Any, Final

import urllib3

from tests.acceptance.installation import CLIENT, COMMAND, KEY, Installation, until

CALLERS: Final = 8

PAGE = (Path(__file__).parents[2] / "docs" / "leaks.md").read_text()


def recorded(home: Installation, *more: str, code: int = 0) -> Any:
    file = home.folder / "leak.json"
    file.unlink(missing_ok=True)
    home.run("revoke", KEY, "--leaked", "--yes", "--export", "leak.json", *more, code=code)
    assert file.stat().st_mode & 0o777 == 0o600
    return json.loads(file.read_text())


def test_the_record_has_every_step_and_no_value(grown: Installation) -> None:
    old = grown.run("get", KEY).out
    made = recorded(grown)
    new = grown.run("get", KEY).out
    text = (grown.folder / "leak.json").read_text()
    assert old not in text
    assert new not in text
    assert made["done"] is True
    assert made["not_done"] == []
    assert [step["state"] for step in made["steps"]][-1] == "DONE"
    assert len(made["revoked"]) == len(made["replaced_by"]) == 1
    head = grown.json("log", "show", "--limit", "1")
    assert made["audit"]["sequence"] <= head[-1]["sequence"]


def test_a_record_is_never_overwritten_and_nothing_is_done_then(grown: Installation) -> None:
    old = grown.run("get", KEY).out
    (grown.folder / "leak.json").write_text("evidence")
    said = grown.run("revoke", KEY, "--leaked", "--yes", "--export", "leak.json", code=2)
    assert "exists already" in said.err
    assert grown.accepts(old)
    said = grown.run("revoke", KEY, "--leaked", "--yes", "--export", "no/such/leak.json", code=2)
    assert "cannot be made" in said.err
    assert "--export goes with --leaked" in grown.run("revoke", KEY, "--export", "x", code=2).err
    assert "--wait" in grown.run("revoke", KEY, "--leaked", "--wait", "soon", code=2).err


def test_with_the_issuer_down_it_says_what_is_not_done_and_ends_it_the_next_time(
    grown: Installation,
) -> None:
    old = grown.run("get", KEY).out
    grown.edit(f'url: "{grown.box.url}"', 'url: "http://127.0.0.1:9"')
    made = recorded(grown, "--wait", "2s", code=3)
    assert made["done"] is False
    assert "no new secret is issued yet" in made["not_done"]
    assert any("may still be accepted" in one for one in made["not_done"])
    assert grown.accepts(old)

    grown.edit('url: "http://127.0.0.1:9"', f'url: "{grown.box.url}"')
    assert recorded(grown)["done"] is True
    assert not grown.accepts(old)


def test_with_a_target_down_the_old_secret_is_not_revoked_and_that_is_said(
    grown: Installation,
) -> None:
    old = grown.run("get", KEY).out
    standby = grown.folder / "standby"
    standby.rename(grown.folder / "aside")
    standby.write_text("no folder")
    file = grown.folder / "leak.json"
    done = subprocess.run(  # noqa: S603 (our own command)
        [COMMAND, "revoke", KEY, "--leaked", "--yes", "--export", str(file), "--wait", "2s"],
        env=grown.env(),
        cwd=grown.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "standby" in done.stderr
    assert "may still be accepted" in done.stdout
    assert grown.accepts(old)
    assert any("may still be accepted" in one for one in json.loads(file.read_text())["not_done"])


def test_no_token_of_a_leaked_secret_is_given_out_after_the_command_returns_under_load(
    grown: Installation,
) -> None:
    served: list[tuple[float, str]] = []
    enough = Event()

    def ask() -> None:
        while not enough.is_set():
            begun = time.monotonic()
            served.append((begun, a_token(grown.folder / "run/credmgr.sock")))

    with grown.background("run") as daemon, ThreadPoolExecutor(CALLERS) as pool:
        daemon.wait_for("started")
        until((grown.folder / "run/credmgr.sock").exists)
        asking = [pool.submit(ask) for _ in range(CALLERS)]
        until(lambda: len(served) > 100)
        before = {token for _, token in served if token}
        grown.run("revoke", CLIENT, "--leaked", "--yes")
        returned = time.monotonic()
        until(lambda: sum(begun > returned for begun, _ in served) > 100)
        enough.set()
        wait(asking)

    assert [call.result() for call in asking] == [None] * CALLERS
    after = {token for begun, token in served if begun > returned}
    assert len(before) == 1
    assert len(after) == 1
    assert not before & after
    assert opens(grown, after.pop())  # the one before lives on until it ends: none is revoked


def a_token(api: Path) -> str:
    """What the API gives out now; empty when it gives none."""
    lines = (f"GET /v1/tokens/{CLIENT} HTTP/1.1", "Host: localhost", "Connection: close", "", "")
    with socket.socket(socket.AF_UNIX) as peer, peer.makefile("rb") as answer:
        peer.connect(str(api))
        peer.sendall("\r\n".join(lines).encode())
        head, _, body = answer.read().partition(b"\r\n\r\n")
    return str(json.loads(body)["access_token"]) if b" 200 " in head.splitlines()[0] else ""


def opens(home: Installation, token: str) -> bool:
    headers = {"Authorization": f"Bearer {token}"}
    return urllib3.request("GET", f"{home.box.url}/v2/cases", headers=headers).status == 200


def test_the_page_for_the_bad_day_works_line_by_line(grown: Installation) -> None:
    found = grown.folder / "the-folder"
    found.mkdir()
    (found / "ticket.txt").write_text(f"we saw {grown.run('get', KEY).out} in a chat\n")
    lines = re.findall(r"^ *\$ (.+)$", PAGE, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        done = subprocess.run(  # noqa: S603 (our own page)
            ["/bin/bash", "-c", line],
            env={**grown.env(), "PATH": f"{COMMAND.parent}:/usr/bin:/bin"},
            cwd=grown.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
