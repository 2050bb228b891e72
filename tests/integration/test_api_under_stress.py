"""The API when many come at once, and when what it needs is slow or gone."""

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from credmgr.sandbox.faults import Effect, Fault
from credmgr.sandbox.log import EntryKind
from tests.integration.api_world import CLIENT, Said, World, serving

PATH = f"/v1/tokens/{CLIENT}"
CALLERS = 1000
SLOW = timedelta(seconds=4)
"""Longer than it takes them all to ask."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving(tmp_path) as made:
        yield made


def issued(world: World) -> int:
    return sum(one.kind is EntryKind.TOKEN_ISSUED for one in world.box.log.entries())


@contextmanager
def many_files() -> Iterator[None]:
    """Let this process, which is both ends of every connection, open more than it usually may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def read(link: socket.socket) -> bytes:
    said = b""
    while chunk := link.recv(65536):
        said += chunk
    return said


def test_a_thousand_who_ask_cold_cause_one_request(world: World) -> None:
    before = issued(world)
    world.box.faults.add(
        Fault(effect=Effect.LATENCY, method="POST", path="/oauth/token", duration=SLOW)
    )
    asked = world.head("minter", PATH)
    with ExitStack() as stack:
        stack.enter_context(many_files())
        links = []
        for number in range(CALLERS + 1):
            link = socket.create_connection(("127.0.0.1", world.port), timeout=30)
            links.append(stack.enter_context(link))
            link.sendall(asked)
            if number == 0:
                link.close()  # the one for whom the request was begun goes away
        assert world.unix("GET", "/healthz").status == 200
        assert issued(world) == before  # everybody has asked, and nothing has come yet
        said = [read(link) for link in links[1:]]
    tokens = {json.loads(one.partition(b"\r\n\r\n")[2])["access_token"] for one in said}
    assert {one[:15] for one in said} == {b"HTTP/1.1 200 OK"}
    assert len(tokens) == 1
    assert issued(world) == before + 1


def test_with_the_issuer_down_the_old_token_is_given_and_no_new_one(world: World) -> None:
    assert world.ask("GET", PATH, "minter").status == 200
    world.box.faults.add(
        Fault(effect=Effect.SERVER_ERROR, method="POST", path="/oauth/token", status=502)
    )
    assert world.ask("GET", PATH, "minter").status == 200
    cold = world.ask("GET", PATH, "both")
    assert cold.status == 503
    assert int(cold.headers["retry-after"]) >= 1
    assert cold.json["type"] == "urn:credmgr:problem:unavailable"
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    body = f"grant_type=client_credentials&client_id=both&client_secret={world.bearers['both']}"
    refused = world.ask("POST", "/oauth/token", body=body, **form)
    assert refused.status == 503
    assert refused.json["error"] == "temporarily_unavailable"
    assert int(refused.headers["retry-after"]) >= 1
    scraped = world.ask("GET", "/metrics", "watcher").body.decode()
    assert 'credmgr_token_requests_total{issuer="caseforge",outcome="minted"} 1\n' in scraped
    assert 'outcome="token_unavailable"' in scraped


def test_it_is_ready_only_while_every_store_in_use_works(world: World) -> None:
    assert world.ask("GET", "/readyz").status == 200
    store = world.home / "secrets"
    store.chmod(0o777)  # a folder that anybody can write to is refused
    refused = turned(world, 503)
    assert refused.headers["retry-after"] == "1"
    assert "secrets" not in refused.body.decode()
    assert world.ask("GET", "/healthz").status == 200
    store.chmod(0o700)
    turned(world, 200)


def turned(world: World, status: int) -> Said:
    """What `/readyz` says once it has noticed."""
    deadline = time.monotonic() + 10
    while (said := world.ask("GET", "/readyz")).status != status:
        assert time.monotonic() < deadline
        Event().wait(0.2)
    return said
