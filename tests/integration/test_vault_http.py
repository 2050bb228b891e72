"""Answers that no healthy server gives: slow, cut, senseless, redirecting, refusing."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest

from credmgr.backends.vault import VaultBackendFactory
from credmgr.backends.vault.faults import RateLimited, Refused
from credmgr.backends.vault.options import (
    CertSignIn,
    KubernetesSignIn,
    TokenSignIn,
    VaultOptions,
)
from credmgr.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    ConfigError,
    CredmgrError,
    LimitExceeded,
    SecretNotFound,
)
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.testing.canaries import everything_in, leaks
from tests.integration.openbao import context_of
from tests.issuer_world import Conversation, RawServer, http_answer, raw_server

NAME = Name("a/b")
CANARY = "cnry-4ec09b7715-value"
LOOKUP = {"data": {"ttl": 0, "renewable": False}}
MOUNT = {"data": {"type": "kv", "options": {"version": "2"}}}
SHORT = timedelta(seconds=0.6)
Answers = Callable[[Conversation], None]


def polite(data: Answers | bytes) -> Answers:
    """A server that signs in, has a KV v2 mount, and answers requests for entries with `data`."""

    def behave(conversation: Conversation) -> None:
        path = conversation.request.split(b" ")[1]
        if path.endswith(b"lookup-self"):
            conversation.send(http_answer(json.dumps(LOOKUP)))
        elif b"internal" in path:
            conversation.send(http_answer(json.dumps(MOUNT)))
        elif isinstance(data, bytes):
            conversation.send(data)
        else:
            data(conversation)

    return behave


def session(server: RawServer | str, home: Path, **settings: Any) -> Any:
    address = server if isinstance(server, str) else server.url
    if not {"token", "kubernetes", "cert"} & settings.keys():
        settings["token"] = TokenSignIn("env:token")
    return VaultBackendFactory().open(
        VaultOptions(address, **settings),
        context_of(home, token="t"),  # noqa: S106 (no secret)
    )


def failure(data: Answers | bytes, home: Path, **settings: Any) -> BackendError:
    with raw_server(polite(data)) as server:
        backend = session(server, home, **settings)
        with pytest.raises(BackendError) as caught:
            backend.read(NAME)
        backend.close()
    assert not leaks(CANARY, everything_in(caught.value))
    return caught.value


def errors(text: str) -> str:
    return json.dumps({"errors": [text, CANARY]})


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        ("301 Moved", BackendUnavailable, "points elsewhere"),
        ("307 Temporary Redirect", BackendUnavailable, "points elsewhere"),
        ("400 Bad Request", BackendError, "refused with status 400"),
        ("405 Method Not Allowed", BackendError, "refused with status 405"),
        ("408 Request Timeout", BackendUnavailable, "did not get the whole request in time"),
        ("412 Precondition Failed", BackendUnavailable, "not yet caught up"),
        ("413 Too Large", LimitExceeded, "too large"),
        ("425 Too Early", BackendUnavailable, "does not yet take the request"),
        ("429 Too Many Requests", RateLimited, "asks for fewer calls$"),
        ("472 Standby", BackendUnavailable, "standby of a disaster recovery cluster"),
        ("473 Standby", BackendUnavailable, "performance standby"),
        ("500 Internal Server Error", BackendUnavailable, "status 500"),
        ("501 Not Implemented", BackendUnavailable, "not initialised"),
        ("502 Bad Gateway", BackendUnavailable, "status 502"),
        ("503 Service Unavailable", BackendUnavailable, "status 503"),
    ],
)
def test_each_refusal_has_its_error(
    tmp_path: Path, status: str, kind: type[BackendError], message: str
) -> None:
    answer = http_answer(errors("because"), "Location: https://example.test/", status=status)
    error = failure(answer, tmp_path)
    assert type(error) is kind
    assert error.retryable is issubclass(kind, BackendUnavailable)
    with pytest.raises(kind, match=f"secret/data/credmgr/a/b: read.*{message}"):
        raise error


BRIEFLY = "This backend will be unavailable for a brief period and will resume service"
REFUSALS = [
    (
        "400 Bad Request",
        f"Upgrading from non-versioned to versioned data. {BRIEFLY} shortly.",
        "still making the mount KV version 2",
    ),
    (
        "400 Bad Request",
        f"Waiting for the primary to upgrade from non-versioned to versioned data. {BRIEFLY}.",
        "still making the mount KV version 2",
    ),
    (
        "500 Internal Server Error",
        "local node not active but active cluster node not found",
        "a standby and knows of no active node",
    ),
]


@pytest.mark.parametrize(("status", "text", "message"), REFUSALS)
def test_a_refusal_that_passes_is_told_by_its_text(
    tmp_path: Path, status: str, text: str, message: str
) -> None:
    error = failure(http_answer(errors(text), status=status), tmp_path)
    assert isinstance(error, BackendUnavailable)
    assert message in str(error)


def test_what_the_storage_does_not_take_is_too_large(tmp_path: Path) -> None:
    text = "1 error occurred:\n\t* put failed due to value being too large; got 9 bytes, max 8"
    error = failure(http_answer(errors(text), status="500 Internal Server Error"), tmp_path)
    assert isinstance(error, LimitExceeded)


@pytest.mark.parametrize("behave", ["503", "429", "reset", "cut"])
def test_nothing_below_us_repeats_a_call(tmp_path: Path, behave: str) -> None:
    """What came of a write is not known then, and to ask again is for those who know the plan."""
    ways: dict[str, Answers | bytes] = {
        "503": http_answer("{}", "Retry-After: 0", status="503 Service Unavailable"),
        "429": http_answer("{}", "Retry-After: 0", status="429 Too Many Requests"),
        "reset": Conversation.reset,
        "cut": http_answer('{"a', length=99),
    }
    absent = http_answer('{"errors":[]}', status="404 Not Found")
    harm = ways[behave]

    def behaviour(conversation: Conversation) -> None:
        if not conversation.request.startswith(b"POST"):
            conversation.send(absent)
        elif isinstance(harm, bytes):
            conversation.send(harm)
        else:
            harm(conversation)

    with raw_server(polite(behaviour)) as server:
        backend = session(server, tmp_path)
        with pytest.raises(BackendUnavailable):
            backend.stage(NAME, Secret("one"), uuid4())
        backend.close()
    with raw_server(polite(harm)) as other:
        backend = session(other, tmp_path)
        with pytest.raises(BackendUnavailable):
            backend.read(NAME)
        backend.close()
    entry = b"/v1/secret/data/credmgr/a/b"
    written, read = (
        [b" ".join(one.split(b" ", 2)[:2]) for one in each.requests if entry in one]
        for each in (server, other)
    )
    assert written == [b"GET " + entry, b"GET " + entry + b".next", b"POST " + entry + b".next"]
    assert read == [b"GET " + entry]


@pytest.mark.parametrize(
    ("header", "wait"),
    [("7", 7), ("0", 0), ("999999", 3600), ("1000000000", 3600), ("-1", None), ("soon", None)],
)
def test_retry_after_is_told_within_reason(tmp_path: Path, header: str, wait: int | None) -> None:
    answer = http_answer("{}", f"Retry-After: {header}", status="429 Too Many Requests")
    error = failure(answer, tmp_path)
    assert isinstance(error, RateLimited)
    assert error.retry_after == (None if wait is None else timedelta(seconds=wait))
    assert (f"in {wait} s" in str(error)) is (wait is not None)


METADATA = {"version": 1, "created_time": "2026-01-01T00:00:00.123456789Z", "deletion_time": ""}
SENSELESS: list[Any] = [
    [CANARY],
    {},
    {"data": CANARY},
    {"data": {"data": {}}},
    {"data": {"data": CANARY, "metadata": METADATA}},
    {"data": {"data": {}, "metadata": {**METADATA, "version": "1"}}},
    {"data": {"data": {}, "metadata": {**METADATA, "created_time": "then"}}},
    {"data": {"data": {}, "metadata": {**METADATA, "created_time": 7}}},
    {"data": {"data": {}, "metadata": {**METADATA, "custom_metadata": ["managed-by"]}}},
]


@pytest.mark.parametrize("answer", [*map(json.dumps, SENSELESS), f"<html>{CANARY}", '{"data":{"a'])
def test_an_answer_that_is_not_what_the_api_says_is_unavailable(
    tmp_path: Path, answer: str
) -> None:
    error = failure(http_answer(answer), tmp_path)
    assert isinstance(error, BackendUnavailable)
    assert "the answer is not what the API says" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        {"versions": {}},
        {"current_version": 1, "versions": [CANARY]},
        {"current_version": 1, "versions": {"1": CANARY}},
        {"current_version": 1, "versions": {"1": {}}, "custom_metadata": [CANARY]},
    ],
)
def test_metadata_that_are_not_what_the_api_says_are_unavailable(
    tmp_path: Path, answer: Any
) -> None:
    with raw_server(polite(http_answer(json.dumps({"data": answer})))) as server:
        backend = session(server, tmp_path)
        with pytest.raises(BackendUnavailable, match="the answer is not what the API says"):
            backend.glance(NAME)
        backend.close()


@pytest.mark.parametrize("behave", ["hang", "drip", "late headers"])
def test_the_deadline_covers_the_whole_answer(tmp_path: Path, behave: str) -> None:
    whole = http_answer(json.dumps({"data": CANARY * 20}))
    ways: dict[str, Answers] = {
        "hang": Conversation.hang,
        "drip": lambda one: one.drip(whole, 0.05),
        "late headers": lambda one: one.drip(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 50, 0.05),
    }
    began = time.monotonic()
    error = failure(ways[behave], tmp_path, timeout=SHORT)
    assert isinstance(error, BackendUnavailable)
    assert "no whole answer within the deadline" in str(error)
    assert time.monotonic() - began < 2


def test_a_timeout_above_the_deadline_of_others_is_honoured(tmp_path: Path) -> None:
    def late(conversation: Conversation) -> None:
        time.sleep(0.5)  # noqa: TID251 (sockets know real time only)
        conversation.send(http_answer('{"errors":[]}', status="404 Not Found"))

    context = context_of(tmp_path, token="t")  # noqa: S106 (no secret)
    context = replace(context, deadline=timedelta(seconds=0.3))
    with raw_server(polite(late)) as server:
        for timeout in (timedelta(seconds=20), None):
            options = VaultOptions(server.url, token=TokenSignIn("env:token"), timeout=timeout)
            backend = VaultBackendFactory().open(options, context)
            with pytest.raises(SecretNotFound if timeout else BackendUnavailable):
                backend.read(NAME)
            backend.close()


def test_a_broken_or_endless_answer_is_unavailable(tmp_path: Path) -> None:
    endless = http_answer(b" " * (5 << 20))
    for behave in (Conversation.reset, http_answer('{"a', length=99), b"no HTTP", endless):
        error = failure(behave, tmp_path)
        assert isinstance(error, BackendUnavailable)
        assert "the connection broke" in str(error)


def test_a_port_of_nobody_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="no connection, ECONNREFUSED"):
        session("http://localhost:1", tmp_path).read(NAME)


@pytest.mark.parametrize("body", ["<html>404</html>", "{}", '{"errors":["no"]}', "null"])
def test_a_404_that_is_not_the_servers_proves_no_absence(tmp_path: Path, body: str) -> None:
    error = failure(http_answer(body, status="404 Not Found"), tmp_path)
    assert isinstance(error, BackendUnavailable)
    assert "a 404 that is not what the API says" in str(error)


def test_more_threads_than_connections_wait_for_no_longer_than_the_deadline(
    tmp_path: Path,
) -> None:
    found: list[str] = []
    with raw_server(polite(Conversation.hang)) as server:
        options = VaultOptions(server.url, token=TokenSignIn("env:token"), timeout=SHORT)
        context = replace(context_of(tmp_path, token="t"), workers=1)  # noqa: S106 (no secret)
        backend = VaultBackendFactory().open(options, context)
        backend._connection.mount_is_kv2()  # type: ignore[attr-defined]

        def read() -> None:
            with pytest.raises(BackendUnavailable) as caught:
                backend.read(NAME)
            found.append(str(caught.value))

        threads = [Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        backend.close()
    assert sum("every connection was busy" in text for text in found) == 2


# --- signing in


def test_the_service_account_of_a_pod_is_read_at_each_sign_in(tmp_path: Path) -> None:
    def behave(conversation: Conversation) -> None:
        if b"/v1/auth/k8s/login" in conversation.request:
            auth = {"client_token": "s.pod", "lease_duration": 3600, "renewable": True}
            conversation.send(http_answer(json.dumps({"auth": auth})))
        elif b"internal" in conversation.request:
            conversation.send(http_answer(json.dumps(MOUNT)))
        elif b"X-Vault-Token: s.pod" in conversation.request:
            conversation.send(http_answer('{"errors":[]}', status="404 Not Found"))

    (tmp_path / "jwt").write_text("pod-token\n")
    way = KubernetesSignIn("app", "jwt", "k8s")
    with raw_server(behave) as server:
        backend = session(server, tmp_path, kubernetes=way)
        assert backend.versions(NAME) == []
        backend.close()
    assert json.loads(server.requests[0].partition(b"\r\n\r\n")[2]) == {
        "role": "app",
        "jwt": "pod-token",
    }
    assert b"revoke-self" in server.requests[-1], "a failed revocation is no failure"
    (tmp_path / "jwt").unlink()
    with pytest.raises(ConfigError, match=r"service account's token .* cannot be read"):
        session("http://localhost:1", tmp_path, kubernetes=way).read(NAME)


SIGN_INS: list[tuple[Any, str]] = [
    ({"auth": None}, "not what the API says"),
    ({"auth": {"client_token": "", "lease_duration": 1}}, "not what the API says"),
    ({"auth": {"client_token": "s.x", "lease_duration": "1"}}, "not what the API says"),
]


@pytest.mark.parametrize(("answer", "message"), SIGN_INS)
def test_a_senseless_sign_in_is_unavailable(tmp_path: Path, answer: Any, message: str) -> None:
    (tmp_path / "jwt").write_text("pod-token\n")
    with raw_server(http_answer(json.dumps(answer))) as server:
        backend = session(server, tmp_path, kubernetes=KubernetesSignIn("app", "jwt"))
        with pytest.raises(BackendUnavailable, match=message):
            backend.read(NAME)


@pytest.mark.parametrize("answer", [{"data": {}}, {"auth": {}}, {"data": {"secret_id": 7}}])
def test_a_senseless_wrapped_answer_is_unavailable(tmp_path: Path, answer: Any) -> None:
    with raw_server(http_answer(json.dumps(answer))) as server:
        backend = session(server, tmp_path, token=TokenSignIn("env:token", wrapped=True))
        with pytest.raises(BackendUnavailable, match="not what the API says"):
            backend.read(NAME)


def test_a_mount_that_says_nothing_of_itself_is_unavailable(tmp_path: Path) -> None:
    with raw_server(http_answer(json.dumps({"data": {"ttl": 0}}))) as server:
        error: CredmgrError
        with pytest.raises(BackendError, match="mount of type None") as caught:
            session(server, tmp_path).check()
        error = caught.value
    assert not isinstance(error, AccessDenied)


def test_a_client_certificate_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match="cannot be used"):
        session("https://localhost:1", tmp_path, cert=CertSignIn("cert.pem", "cert.pem"))


@pytest.mark.parametrize("token", ["s.\u00e9", "s.a\r\nX-Vault-Policy: root", "s.a b", "s.a\0"])
def test_a_token_that_no_header_holds_is_told_and_not_shown(tmp_path: Path, token: str) -> None:
    context = context_of(tmp_path, token=f"{CANARY}{token}")
    options = VaultOptions("http://localhost:1", token=TokenSignIn("env:token"))
    with pytest.raises(ConfigError, match="printable ASCII") as caught:
        VaultBackendFactory().open(options, context).read(NAME)
    assert not leaks(CANARY, everything_in(caught.value))


def test_a_refusal_shows_its_status_only() -> None:
    assert not leaks(CANARY, everything_in(Refused(400, {"errors": [CANARY]})))
