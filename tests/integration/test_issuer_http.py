"""The HTTP exchange against a server that does everything wrong: bounded, translated, silent."""

import gc
import logging
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from credmgr.errors import (
    InvalidAnswer,
    IssuerError,
    IssuerRefused,
    IssuerUnavailable,
    NoFreeSlot,
    OutcomeUnknown,
    ScopeRefused,
    SecretRejected,
)
from credmgr.issuers import transport
from credmgr.issuers.calls import Answer, Authority, Call
from credmgr.issuers.http import MAX_BODY, Exchange
from credmgr.model.secret import Secret
from credmgr.plugins.issuer import AudienceRefused
from credmgr.testing import FakeClock
from credmgr.testing.canaries import everything_in, leaks
from tests.issuer_world import (
    Behaviour,
    Conversation,
    RawServer,
    a_context,
    http_answer,
    raw_server,
)

CANARY = "cnry-71ab3c90d2-value"
DESCRIPTORS = Path("/proc/self/fd")
SHORT = timedelta(seconds=0.6)
LATEST = 1.0
"""Seconds: SHORT, and what a busy machine may add; it is 0.54 on a quiet one."""
GOOD = http_answer('{"id": "k1"}')


def a_call(base: str, **more: Any) -> Call:
    settings: dict[str, Any] = {
        "method": "POST",
        "base": base,
        "path": "/keys/{id}",
        "values": {"id": "k1"},
        "query": {"cursor": "hidden-cursor"},
        "authority": Authority.MANAGEMENT,
        "bearer": Secret(CANARY),
        "json": {"label": "one"},
    }
    return Call(**{**settings, **more})


def send(
    server: RawServer | str, deadline: timedelta = timedelta(seconds=5), **more: Any
) -> Answer:
    base = server if isinstance(server, str) else server.url
    exchange = Exchange(a_context(deadline=deadline))
    try:
        return exchange.send(a_call(base, **more))
    finally:
        exchange.close()


def failure(server: RawServer | str, *, changes: bool = True, **more: Any) -> IssuerError:
    with pytest.raises(IssuerError) as caught:
        send(server, changes=changes, **more)
    assert not leaks(CANARY, everything_in(caught.value))
    assert "hidden-cursor" not in everything_in(caught.value)
    assert "POST" in str(caught.value)
    return caught.value


def twice(conversation: Conversation) -> None:
    conversation.send(http_answer('{"id": "k1"}', keep=True))
    if conversation.sock.recv(65_536):
        conversation.send(http_answer("", status="204 No Content", keep=True))


def test_an_answer_is_read_and_the_connection_used_again() -> None:
    with raw_server(twice) as server:
        exchange = Exchange(a_context())
        assert exchange.send(a_call(server.url)).text("id") == "k1"
        assert exchange.send(a_call(server.url)).status == 204
        exchange.close()
        exchange.close()
    assert len(server.threads) == 1
    assert b"POST /keys/k1?cursor=hidden-cursor HTTP/1.1" in server.requests[0]


def test_a_connection_that_idled_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LONGEST_IDLE", 0)
    with raw_server(twice) as server:
        exchange = Exchange(a_context())
        for _ in range(2):
            assert exchange.send(a_call(server.url)).text("id") == "k1"
        exchange.close()
    assert len(server.threads) == 2


def test_a_chunked_answer_is_read() -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with raw_server(head + b'4\r\n{"id\r\n8\r\n": "k1"}\r\n0\r\n\r\n') as server:
        assert send(server).text("id") == "k1"


def test_nobody_listening_is_unavailable_even_for_a_change() -> None:
    with socket.create_server(("localhost", 0)) as listener:
        free = f"http://localhost:{listener.getsockname()[1]}"
    error = failure(free)
    assert isinstance(error, IssuerUnavailable)
    assert "ECONNREFUSED" in str(error)


def test_a_name_that_does_not_resolve_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: object, **_more: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failure("http://nowhere.invalid:1")
    assert isinstance(error, IssuerUnavailable)
    assert "resolve" in str(error)


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
def test_a_host_that_cannot_be_is_unavailable(host: str) -> None:
    assert isinstance(failure(f"http://{host}:1"), IssuerUnavailable)


def test_a_connection_that_never_opens_is_unavailable_within_the_deadline() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(address)
        begun = time.monotonic()
        error = failure(f"http://127.0.0.1:{address[1]}", deadline=SHORT)
        assert time.monotonic() - begun < LATEST
        for filler in fillers:
            filler.close()
    assert isinstance(error, IssuerUnavailable)


def hang(conversation: Conversation) -> None:
    conversation.hang()


def drip_headers(conversation: Conversation) -> None:
    conversation.drip(GOOD, 0.1)


def drip_body(conversation: Conversation) -> None:
    conversation.send(http_answer("", length=10_000))
    conversation.drip(b"x" * 10_000, 0.1)


def drip_chunks(conversation: Conversation) -> None:
    conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    conversation.drip(b"1\r\nx\r\n" * 10_000, 0.02)


def drip_continues(conversation: Conversation) -> None:
    conversation.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 0.01)


@pytest.mark.parametrize("behaviour", [hang, drip_headers, drip_body, drip_chunks, drip_continues])
def test_the_deadline_holds_however_the_answer_comes(behaviour: Behaviour) -> None:
    with raw_server(behaviour) as server:
        for changes, kind in ((True, OutcomeUnknown), (False, IssuerUnavailable)):
            begun = time.monotonic()
            error = failure(server, changes=changes, deadline=SHORT)
            took = time.monotonic() - begun
            assert type(error) is kind
            assert took < LATEST


def close_at_once(conversation: Conversation) -> None:
    del conversation


def reset_at_once(conversation: Conversation) -> None:
    conversation.reset()


def reset_in_the_headers(conversation: Conversation) -> None:
    conversation.send(GOOD[:20])
    conversation.reset()


def reset_in_the_body(conversation: Conversation) -> None:
    conversation.send(http_answer('{"id": "k1"', length=100))
    conversation.reset()


def close_in_the_body(conversation: Conversation) -> None:
    conversation.send(http_answer(f'{{"value": "{CANARY}"', length=100))


def close_in_a_chunk(conversation: Conversation) -> None:
    conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{")


@pytest.mark.parametrize(
    "behaviour",
    [
        close_at_once,
        reset_at_once,
        reset_in_the_headers,
        reset_in_the_body,
        close_in_the_body,
        close_in_a_chunk,
    ],
)
def test_a_broken_connection_leaves_a_change_unknown(behaviour: Behaviour) -> None:
    with raw_server(behaviour) as server:
        assert type(failure(server, changes=True)) is OutcomeUnknown
        assert type(failure(server, changes=False)) is IssuerUnavailable
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        http_answer("<html>Just a moment</html>", kind="text/html"),
        http_answer('{"id": "k1"}', kind="text/plain"),
        http_answer('{"id": "k1"}', kind=""),
        http_answer(f'{{"value": "{CANARY}'),
        http_answer(""),
        http_answer(b"\xff\xfe\x00"),
        http_answer('{"id": "k1", "id": "k2"}'),
        http_answer('{"id": NaN}'),
        http_answer("[" * 200_000),
        http_answer("9" * 5000),
        http_answer(GOOD, "Content-Encoding: gzip"),
        http_answer("x" * (10 * MAX_BODY)),
        http_answer('"' + "x" * MAX_BODY + '"'),
        http_answer("", "Location: http://localhost:1/", status="302 Found"),
        http_answer("", "Location: http://localhost:1/", status="307 Temporary Redirect"),
        http_answer("{}", status="304 Not Modified", length=0)[:-2],
    ],
    ids=range(16),
)
def test_nonsense_leaves_a_change_unknown(answer: bytes) -> None:
    with raw_server(answer) as server:
        assert type(failure(server, changes=True)) is OutcomeUnknown
        assert type(failure(server, changes=False)) is InvalidAnswer
    assert len(server.requests) == 2


def test_a_server_that_does_not_speak_http_says_nothing_of_use() -> None:
    with raw_server(f"{CANARY}\r\n\r\n".encode()) as server:
        assert type(failure(server, changes=True)) is OutcomeUnknown


@pytest.mark.parametrize("status", [500, 502, 504, 599])
def test_a_failing_server_may_have_applied_a_change(status: int) -> None:
    with raw_server(http_answer("oops", status=f"{status} Oops", kind="text/plain")) as server:
        assert type(failure(server, changes=True)) is OutcomeUnknown
        assert type(failure(server, changes=False)) is IssuerUnavailable


@pytest.mark.parametrize("status", [408, 429, 503])
@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ((), None),
        (("Retry-After: 7",), timedelta(seconds=7)),
        (("Retry-After: 1000000000",), timedelta(hours=1)),
        (("Retry-After: -5",), None),
        (("Retry-After: whenever",), None),
        (("Retry-After: 7", "Retry-After: 9"), None),
    ],
)
def test_a_busy_server_has_applied_nothing(
    status: int, headers: tuple[str, ...], wait: timedelta | None
) -> None:
    with raw_server(http_answer("{}", *headers, status=f"{status} Busy")) as server:
        error = failure(server, changes=True)
    assert isinstance(error, IssuerUnavailable)
    assert error.retry_after == wait


def test_a_date_to_wait_for_is_read_by_the_injected_clock() -> None:
    clock = FakeClock(datetime(2030, 1, 1, tzinfo=UTC))
    until = format_datetime(clock.now() + timedelta(seconds=90), usegmt=True)
    answer = http_answer("{}", f"Retry-After: {until}", status="503 Busy")
    with raw_server(answer) as server:
        exchange = Exchange(a_context(clock=clock))
        with pytest.raises(IssuerUnavailable) as caught:
            exchange.send(a_call(server.url))
        exchange.close()
    assert caught.value.retry_after == timedelta(seconds=90)


@pytest.mark.parametrize(
    ("authority", "status", "code", "kind"),
    [
        (Authority.MANAGEMENT, 401, "invalid_token", IssuerRefused),
        (Authority.MANAGEMENT, 403, "", IssuerRefused),
        (Authority.MANAGEMENT, 409, "no_free_slot", NoFreeSlot),
        (Authority.MANAGEMENT, 409, "other", IssuerRefused),
        (Authority.MANAGEMENT, 404, "not_found", IssuerRefused),
        (Authority.CLIENT, 401, "invalid_client", SecretRejected),
        (Authority.CLIENT, 400, "invalid_client", SecretRejected),
        (Authority.CLIENT, 400, "invalid_scope", ScopeRefused),
        (Authority.CLIENT, 400, "invalid_target", AudienceRefused),
        (Authority.CLIENT, 400, "unauthorized_client", IssuerRefused),
        (Authority.CLIENT, 401, "", InvalidAnswer),
        (Authority.BEARER, 401, "", SecretRejected),
        (Authority.BEARER, 403, "", ScopeRefused),
        (Authority.BEARER, 400, "invalid_token", IssuerRefused),
    ],
)
def test_a_refusal_is_about_what_was_presented(
    authority: Authority, status: int, code: str, kind: type[IssuerError]
) -> None:
    body = f'{{"error": "{code}", "error_description": "{CANARY}"}}'
    with raw_server(http_answer(body, status=f"{status} No")) as server:
        error = failure(server, authority=authority, changes=False)
    assert type(error) is kind
    assert str(status) in str(error)
    assert code in str(error)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_management_credential_is_named(status: int) -> None:
    with raw_server(http_answer("{}", status=f"{status} No")) as server:
        assert "admin_token" in str(failure(server))


def test_an_absent_thing_is_an_answer_where_that_is_fine() -> None:
    with raw_server(http_answer("gone", status="410 Gone", kind="text/plain")) as server:
        assert send(server, absent_is_fine=True).absent
        assert isinstance(failure(server), IssuerRefused)


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "ünïcode", "with space"])
def test_a_secret_that_no_header_can_carry_is_not_sent(value: str) -> None:
    with raw_server(GOOD) as server:
        rejected = failure(server, bearer=Secret(value), authority=Authority.BEARER)
        refused = failure(server, bearer=Secret(value), authority=Authority.MANAGEMENT)
    assert isinstance(rejected, SecretRejected)
    assert type(refused) is IssuerRefused
    assert value not in everything_in(rejected)
    assert not server.requests


def test_nothing_of_a_call_is_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(CANARY)
    body = f'{{"value": "{CANARY}"}}'
    caplog.set_level(logging.DEBUG, logger="urllib3")
    with caplog.at_level(logging.DEBUG), raw_server(http_answer(body)) as server:
        send(server, bearer=secret, basic=None, form={"client_secret": secret}, json=None)
        send(server, bearer=None, basic=secret)
    assert "urllib3" in caplog.text
    assert not leaks(CANARY, caplog.text)
    assert any(CANARY.encode() in request for request in server.requests)


def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://localhost:1")
    with raw_server(GOOD) as server:
        assert send(server).status == 200


def test_more_callers_than_connections_wait_their_turn_and_no_longer() -> None:
    with raw_server(hang) as server:
        exchange = Exchange(a_context(workers=1, deadline=SHORT))

        def attempt(_number: int) -> IssuerError:
            with pytest.raises(IssuerError) as caught:
                exchange.send(a_call(server.url, changes=True))
            return caught.value

        begun = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            kinds = {type(error) for error in pool.map(attempt, range(2))}
        assert time.monotonic() - begun < LATEST
        exchange.close()
    assert kinds == {OutcomeUnknown, IssuerUnavailable}


def test_a_thousand_failures_leave_no_socket_and_no_thread() -> None:
    turns = iter(range(10_000))
    behaviours = (close_at_once, reset_in_the_body, close_in_the_body, reset_at_once)

    def in_turn(conversation: Conversation) -> None:
        behaviours[next(turns) % len(behaviours)](conversation)

    with raw_server(in_turn) as server:
        exchange = Exchange(a_context())
        descriptors, threads = len(list(DESCRIPTORS.iterdir())), threading.active_count()
        for _ in range(1000):
            with pytest.raises(IssuerUnavailable):
                exchange.send(a_call(server.url))
            server.threads[-1].join()
        gc.collect()
        assert len(list(DESCRIPTORS.iterdir())) <= descriptors
        assert threading.active_count() <= threads
        exchange.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    beginning = datetime(2020, 1, 1, tzinfo=UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(beginning)
        .not_valid_after(beginning + timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_certificate_of_nobody_we_trust_is_unavailable(tls: ssl.SSLContext) -> None:
    with raw_server(GOOD, tls) as server:
        error = failure(server)
    assert isinstance(error, IssuerUnavailable)
    assert "certificate is not trusted" in str(error)
    assert not server.requests


def test_a_bundle_makes_an_authority_trusted(tls: ssl.SSLContext, certificate: Path) -> None:
    with raw_server(GOOD, tls) as server:
        exchange = Exchange(a_context(), certificate)
        assert exchange.send(a_call(server.url)).text("id") == "k1"
        with pytest.raises(IssuerUnavailable):
            exchange.send(a_call(server.url.replace("localhost", "127.0.0.1")))
        exchange.close()


def test_the_deadline_holds_over_tls(tls: ssl.SSLContext, certificate: Path) -> None:
    with raw_server(drip_headers, tls) as server:
        exchange = Exchange(a_context(deadline=SHORT), certificate)
        begun = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            exchange.send(a_call(server.url, changes=True))
        assert time.monotonic() - begun < LATEST
        exchange.close()


def test_a_handshake_that_hangs_was_never_a_request() -> None:
    with socket.create_server(("localhost", 0)) as silent:
        error = failure(f"https://localhost:{silent.getsockname()[1]}", deadline=SHORT)
    assert isinstance(error, IssuerUnavailable)
    assert "in time" in str(error)


def test_a_server_without_tls_was_never_sent_a_request() -> None:
    with socket.create_server(("localhost", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def speak_plainly() -> None:
            sock, _address = listener.accept()
            with sock:
                sock.sendall(GOOD)
                sock.recv(65_536)

        pool.submit(speak_plainly)
        error = failure(f"https://localhost:{listener.getsockname()[1]}")
    assert isinstance(error, IssuerUnavailable)
    assert "TLS failed" in str(error)
