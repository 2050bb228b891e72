"""A running daemon under everything that a hostile peer may send: refused, bounded, and quiet."""

import json
import resource
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from credmgr.testing.canaries import leaks, new_canary
from tests.acceptance.attacked import CONSUMER, PATH, Victim, everything, status, victim
from tests.acceptance.installation import KEY, pause

DOORS = ("tcp", "unix")
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    with victim(tmp_path_factory.mktemp("attacked")) as running:
        yield running


def refused(answer: bytes) -> bool:
    """Whether it is a closed connection, or one refusal in the form of RFC 9457."""
    if not answer:
        return True
    head, _, body = answer.partition(b"\r\n\r\n")
    named = b"content-type: application/problem+json" in head
    return 400 <= status(answer) < 500 and named and json.loads(body)["status"] == status(answer)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "path",
    [
        "/v1/secrets/caseforge/../caseforge/api-key",
        "/v1/secrets/caseforge/./api-key",
        "/v1/secrets/%2e%2e/secrets/caseforge/api-key",
        "/v1/secrets/%252e%252e/caseforge/api-key",
        "/v1/secrets//caseforge/api-key",
        "//v1/secrets/caseforge/api-key",
        "/v1/secrets/caseforge/api-key/",
        "/v1/secrets/caseforge%00/api-key",
        "/v1/secrets/caseforge/api-key%00",
        "/v1/secrets/caseforge/api-key\0",
        "/v1/secrets/caseforge/api-key%0d%0aX:%20y",
        "/v1/secrets/caseforge\\api-key",
        "/v1/secrets/CaseForge/api-key",
        "/v1/secrets/caseforge/api\xadkey",
        "/v1/secrets/caseforge/api-key;a=b",
        "/v1/secrets/caseforge/api-key?x=y",
        "/v1/secrets/caseforge/api-key?%ff",
        "/v1/secrets/" + "a" * 5000,
        "/v1/secrets/%c3%28",
        "/v1/secrets/%zz",
        "*",
        "",
    ],
    ids=range(22),
)
def test_a_path_with_tricks_leads_nowhere(daemon: Victim, path: str, door: str) -> None:
    answer = daemon.send(daemon.request(first=f"GET {path} HTTP/1.1"), door)
    assert refused(answer)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "lines",
    [
        ("Host: evil.example",),
        ("Host: localhost",),
        ("Origin: http://localhost",),
        ("Origin: null",),
        ("Forwarded: for=10.0.0.1",),
        ("X-Forwarded-For: 127.0.0.1",),
        ("X-Forwarded-Host: localhost",),
        ("X-Real-IP: 127.0.0.1",),
        ("Authorization: Bearer another",),
        ("X-Long: " + "x" * 20_000,),
        tuple(f"X-{number}: y" for number in range(100)),
        ("Folded: a\r\n b",),
        ("No colon",),
        ("Space : before",),
        (": no name",),
        ("Nul: a\0b",),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: -1",),
        ("Content-Length: 0x10",),
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 4"),
        ("Transfer-Encoding: gzip, identity",),
    ],
    ids=range(22),
)
def test_a_header_that_has_no_business_here_is_refused(
    daemon: Victim, lines: tuple[str, ...], door: str
) -> None:
    assert refused(daemon.send(daemon.request(*lines), door))


@pytest.mark.parametrize("host", ["", "evil.example", "localhost:1", "localhost@evil", "[::1"])
def test_it_is_served_under_its_own_names_only(daemon: Victim, host: str) -> None:
    answer = daemon.send(daemon.request(f"Host: {host}", host=False))
    assert refused(answer)
    assert status(answer) in {400, 421}
    assert refused(daemon.send(daemon.request(host=False)))


@pytest.mark.parametrize(
    "first",
    [
        f"GET http://evil.example{PATH} HTTP/1.1",
        "CONNECT evil.example:443 HTTP/1.1",
        f"BREW {PATH} HTTP/1.1",
        f"get {PATH} HTTP/1.1",
        f"TRACE {PATH} HTTP/1.1",
        f"DELETE {PATH} HTTP/1.1",
        f"GET {PATH} HTTP/3.9",
        f"GET {PATH} JUNK/1.1",
        "PRI * HTTP/2.0",
        f"GET {PATH}",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "\0\0\0\0",
    ],
    ids=range(12),
)
@pytest.mark.parametrize("door", DOORS)
def test_what_is_no_request_of_ours_is_refused(daemon: Victim, first: str, door: str) -> None:
    assert refused(daemon.send(daemon.request(first=first), door))


def test_a_second_request_hidden_in_a_body_is_not_served(daemon: Victim) -> None:
    hidden = daemon.request()
    lines = (f"Content-Length: {len(hidden)}", "Transfer-Encoding: chunked")
    outer = daemon.request(*lines, first="POST /oauth/token HTTP/1.1")
    answer = daemon.send(outer + b"0\r\n\r\n" + hidden)
    assert refused(answer)
    assert answer.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/oauth/token", "application/x-www-form-urlencoded"), ("/v1/tokens/a/b/reject", "text/json")],
    ids=["form", "json"],
)
def test_a_body_without_end_is_not_read_to_its_end(daemon: Victim, path: str, kind: str) -> None:
    before = daemon.memory
    head = daemon.request(
        f"Content-Type: {kind}", "Transfer-Encoding: chunked", first=f"POST {path} HTTP/1.1"
    )
    with daemon.link("tcp") as link, suppress(ConnectionError):
        link.sendall(head)
        for _ in range(256):
            link.sendall(b"40000\r\n" + bytes(1 << 18) + b"\r\n")
        everything(link)
    assert daemon.memory - before < 8 * MEGABYTE
    assert daemon.serves()


@pytest.mark.parametrize("part", ["headers", "trailers", "one header", "line", "requests"])
def test_nothing_that_comes_without_end_fills_the_memory(daemon: Victim, part: str) -> None:
    before, get = daemon.memory, daemon.request().removesuffix(b"\r\n")
    post = daemon.request("Transfer-Encoding: chunked", first="POST /oauth/token HTTP/1.1")
    start, more = {
        "headers": (get, b"X-Some: thing\r\n"),
        "trailers": (post + b"0\r\n", b"X-Some: thing\r\n"),
        "one header": (get + b"X-Some: ", b"x"),
        "line": (b"GET /", b"x"),
        "requests": (b"", b"GET / HTTP/1.1\r\n\r\n"),
    }[part]
    with daemon.link("tcp") as link, suppress(ConnectionError):
        link.settimeout(2)
        link.sendall(start)
        with suppress(TimeoutError):  # it no longer reads
            for _ in range(128):
                link.sendall(more * (MEGABYTE // 2 // len(more)))
    assert daemon.memory - before < 8 * MEGABYTE
    assert daemon.serves()


def test_a_few_requests_ahead_are_answered_in_their_order(daemon: Victim) -> None:
    one = f"GET /healthz HTTP/1.1\r\nHost: {daemon.host}\r\n\r\n".encode()
    answer = daemon.send(one * 20 + daemon.request())
    assert answer.count(b"HTTP/1.1 200 OK") == 21
    assert answer.rstrip().endswith(b"}")
    assert answer.rindex(b'"secret"') > answer.rindex(b'"ok"')


def test_peers_that_draw_out_a_request_are_cut_off_and_disturb_nobody(daemon: Victim) -> None:
    """A slow head, a slow body, and one that takes no answers; in ten seconds and two beats."""
    before, began = daemon.memory, time.monotonic()
    form = ("Content-Type: application/x-www-form-urlencoded", "Content-Length: 100")
    body = daemon.request(*form, first="POST /oauth/token HTTP/1.1")
    with ExitStack() as stack:
        left = [stack.enter_context(daemon.link(door)) for door in DOORS for _ in range(30)]
        for number, link in enumerate(left):
            link.sendall(body if number % 2 else b"GET / HT")
        left.append(stack.enter_context(deaf(daemon)))
        while left and time.monotonic() - began < 20:
            asked = time.monotonic()
            assert daemon.serves()
            assert time.monotonic() - asked < 5
            pause(0.5)
            left = [link for link in left if dripped(link)]
        assert not left
    assert daemon.memory - before < 16 * MEGABYTE


def deaf(daemon: Victim) -> socket.socket:
    """A connection that has asked for more than it takes."""
    link = daemon.link("tcp")
    asked = f"GET /openapi.json HTTP/1.1\r\nHost: {daemon.host}\r\n\r\n".encode()
    with suppress(ConnectionError):  # it may be cut off at once, which is as good
        for _ in range(1000):
            link.sendall(asked)
            pause(0.001)
    return link


def dripped(link: socket.socket) -> bool:
    """Send one byte more; whether the connection is still open."""
    link.settimeout(0)
    try:
        link.send(b"x")
        return link.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_connections_that_ask_nothing_are_bounded_and_leave_room(daemon: Victim) -> None:
    before = daemon.memory
    with ExitStack() as stack:
        stack.enter_context(many_files())
        idle = [stack.enter_context(daemon.link("tcp")) for _ in range(1100)]
        pause(1)
        closed = sum(not dripped(link) for link in idle)
        assert closed >= 1100 - 1024
        for link in idle[:50]:
            link.close()
        pause(0.5)
        assert daemon.serves()
    assert daemon.memory - before < 48 * MEGABYTE
    assert daemon.serves()


def test_no_secret_shows_itself_at_debug(daemon: Victim) -> None:
    """What was asked for, who asked, and what strangers tried, in every spelling."""
    given = json.loads(daemon.send(daemon.request()).partition(b"\r\n\r\n")[2])["secret"]
    wrong = "credmgr_" + new_canary().partition("/")[0] + "w" * 20
    said = b"".join(asked(daemon, wrong))
    traces = daemon.traces + said.decode("latin-1")
    assert KEY in traces
    for prefix, value in (("cf_sand_", given), ("credmgr_", daemon.bearer), ("credmgr_", wrong)):
        secret = value.removeprefix(prefix)
        assert secret[:8] not in traces
        assert not leaks(secret, traces)


def asked(daemon: Victim, wrong: str) -> Iterator[bytes]:
    """Answers to a value in every place where a request can carry one."""
    basic = b64encode(f"{CONSUMER}:{wrong}".encode()).decode()
    form = "Content-Type: application/x-www-form-urlencoded"
    body = f"grant_type={wrong}&client_id={wrong}&client_secret={wrong}&scope={wrong}"
    yield daemon.send(daemon.request().replace(daemon.bearer.encode(), wrong.encode()))
    yield daemon.send(daemon.request(first=f"GET /v1/secrets/{wrong} HTTP/1.1"))
    yield daemon.send(daemon.request(first=f"GET {PATH}?token={wrong} HTTP/1.1"))
    yield daemon.send(daemon.request(f"X-Forwarded-For: {wrong}"))
    yield daemon.send(daemon.request(f"Host: {wrong}"))
    yield daemon.send(daemon.request(first=f"{wrong} {PATH} HTTP/1.1"))
    post = daemon.request(form, f"Content-Length: {len(body)}", first="POST /oauth/token HTTP/1.1")
    yield daemon.send(post + body.encode())
    bearer = f"Authorization: Bearer {daemon.bearer}"
    yield daemon.send(
        post.replace(bearer.encode(), f"Authorization: Basic {basic}".encode()) + body.encode()
    )
    for path in ("/metrics", "/openapi.json", "/readyz"):
        yield daemon.send(daemon.request(first=f"GET {path} HTTP/1.1"))


@contextmanager
def many_files() -> Iterator[None]:
    """Let this process open more than it usually may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
