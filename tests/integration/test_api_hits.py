"""Tokens that are at hand: answered at once, and to nobody who would not get them otherwise."""

import json
import re
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from threading import Event

import pytest

from credmgr.model.names import Name
from credmgr.model.usage import Usage
from tests.integration.api_world import CLIENT, World, serving

PATH = f"/v1/tokens/{CLIENT}"
WHO = "minter"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serving(tmp_path_factory.mktemp("hits")) as made:
        assert made.ask("GET", PATH, WHO).status == 200
        yield made


@pytest.fixture
def hits(world: World) -> int:
    """How many were answered at once so far."""
    return world.api.house.counts.hits


def exchange(link: socket.socket, request: bytes) -> bytes:
    """The answer to one request, up to the end of its body."""
    link.sendall(request)
    said = b""
    while b"\r\n\r\n" not in said:
        said += link.recv(65536)
    head, _, body = said.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    while len(body) < int(length[1]):
        body += link.recv(65536)
    return head + b"\r\n\r\n" + body


def plain(world: World, *lines: str, path: str = PATH, who: str = WHO) -> bytes:
    """A request that keeps its connection."""
    first = [f"GET {path} HTTP/1.1", f"Host: {world.host}"]
    bearer = f"Authorization: Bearer {world.bearers[who]}"
    return "\r\n".join([*first, bearer, *lines, "", ""]).encode("latin-1")


def link_to(world: World) -> socket.socket:
    return socket.create_connection(("127.0.0.1", world.port), timeout=20)


def test_it_is_the_answer_that_the_long_way_gives(world: World, hits: int) -> None:
    slow = world.ask("GET", PATH, WHO, Connection="close")
    with link_to(world) as link:
        answers = [exchange(link, plain(world, "Accept: */*")) for _ in range(3)]
    assert world.api.house.counts.hits == hits + 3
    head, _, body = answers[-1].partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    dated = parsedate_to_datetime(lines.pop("date"))
    assert abs(dated - world.app.clock.now()) < timedelta(seconds=5)
    assert lines == {k: v for k, v in slow.headers.items() if k not in {"date", "connection"}}
    found = json.loads(body)
    assert found["access_token"] == slow.json["access_token"]
    assert 0 <= slow.json["expires_in"] - found["expires_in"] < 5


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("Host: evil.example",), 400),
        (("Authorization: Bearer another",), 400),
        (("Origin: null",), 403),
        (("X-Forwarded-For: 127.0.0.1",), 400),
        (("X-Long: " + "x" * 15_000, "X-Longer: " + "x" * 1_500), 431),
        (("X-Request-Id: 7",), 200),
    ],
    ids=["host", "bearer", "origin", "forwarded", "large", "unusual"],
)
def test_whatever_is_unusual_is_judged_the_long_way(
    world: World, lines: tuple[str, ...], status: int, hits: int
) -> None:
    with link_to(world) as link:
        said = exchange(link, plain(world, *lines))
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert world.api.house.counts.hits == hits


def test_another_host_or_bearer_gets_nothing(world: World, hits: int) -> None:
    asked = plain(world)
    strange = asked.replace(world.host.encode(), b"evil.example")
    unknown = asked.replace(world.bearers[WHO].encode(), b"credmgr_" + b"x" * 43)
    with link_to(world) as link:
        assert exchange(link, strange).startswith(b"HTTP/1.1 421 ")
        assert exchange(link, unknown).startswith(b"HTTP/1.1 401 ")
        assert exchange(link, plain(world, who="nobody")).startswith(b"HTTP/1.1 404 ")
    assert world.api.house.counts.hits == hits


def test_a_bearer_that_was_ended_gets_no_more(world: World) -> None:
    with link_to(world) as link:
        assert exchange(link, plain(world, who="both")).startswith(b"HTTP/1.1 200 ")
        assert exchange(link, plain(world, who="both")).startswith(b"HTTP/1.1 200 ")
        world.app.store.ledger.take_bearers(Name("both"), "test")
        deadline = time.monotonic() + 5
        while not exchange(link, plain(world, who="both")).startswith(b"HTTP/1.1 401 "):
            assert time.monotonic() < deadline
            Event().wait(0.1)


def test_each_one_is_counted_as_a_use(world: World) -> None:
    world.app.broker.flush()
    before = uses(world)
    with link_to(world) as link:
        for _ in range(7):
            exchange(link, plain(world))
    world.app.broker.flush()
    assert uses(world) - before == 7


def uses(world: World) -> int:
    found: list[Usage] = list(world.app.store.ledger.usage(CLIENT))
    return sum(one.count for one in found if one.consumer == WHO)


def test_requests_ahead_are_answered_in_their_order(world: World) -> None:
    """One of the long way among those that are answered at once."""
    slow = f"GET /v1/credentials/{CLIENT} HTTP/1.1\r\nHost: {world.host}\r\n".encode()
    bearer = f"Authorization: Bearer {world.bearers[WHO]}\r\n\r\n".encode()
    last = plain(world, "Connection: close")
    said = world.raw(plain(world) + slow + bearer + plain(world) + last)
    assert said.count(b"HTTP/1.1 200 OK") == 4
    kinds = [b"access_token" in part for part in said.split(b"HTTP/1.1 200 OK")[1:]]
    assert kinds == [True, False, True, True]
