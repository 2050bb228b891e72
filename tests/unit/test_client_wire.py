"""One call of the client: what comes back is taken for no more than it is."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest

from credmgr.client.origin import LONGEST, fresh
from credmgr.client.wire import NoAnswer, Wire
from credmgr.errors import TokenUnavailable

GOOD = {"access_token": "abc", "token_type": "bearer", "expires_in": 60, "scope": "a b"}


@contextmanager
def answering(path: Path, *parts: bytes, pause: float = 0) -> Iterator[Wire]:
    """A server that says these parts to whoever comes first."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        over = Event()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer, suppress(OSError):
                peer.recv(65536)
                for part in parts:
                    peer.sendall(part)
                    if over.wait(pause):
                        return

        thread = Thread(target=serve)
        thread.start()
        yield Wire(urlsplit(""), str(path), deadline=timedelta(seconds=0.5))
        over.set()
        thread.join(20)


def said(status: bytes, *headers: bytes, body: bytes = b"{}") -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([b"HTTP/1.1 " + status, *headers, length, b"", body])


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (b"Retry-After: 7", 7),
        (b"Retry-After: 0", 1),
        (b"Retry-After: 86400", 60),
        (b"Retry-After: Wed, 21 Oct 2026 07:28:00 GMT", 1),
        (b"X: y", 1),
    ],
    ids=["seconds", "zero", "a day", "a date", "none"],
)
def test_when_to_come_again_is_bounded(tmp_path: Path, header: bytes, seconds: int) -> None:
    with answering(tmp_path / "s", said(b"503 Gone", header)) as wire:
        answer = wire.call("GET", "/", {})
    assert (answer.status, answer.after) == (503, timedelta(seconds=seconds))


@pytest.mark.parametrize("body", [b"", b"[]", b"nothing", b"\xff"])
def test_what_is_no_json_object_is_an_empty_one(tmp_path: Path, body: bytes) -> None:
    with answering(tmp_path / "s", said(b"200 OK", body=body)) as wire:
        assert wire.call("GET", "/", {}).json == {}


@pytest.mark.parametrize(
    "parts",
    [(b"what?\r\n\r\n",), (b"",), (said(b"200 OK", body=b"x" * 300_000),)],
    ids=["no http", "nothing", "too long"],
)
def test_what_is_no_answer_is_none(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    with answering(tmp_path / "s", *parts) as wire, pytest.raises(NoAnswer):
        wire.call("GET", "/", {})


def test_an_answer_that_drips_ends_at_the_deadline(tmp_path: Path) -> None:
    drops = [b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 90]
    with answering(tmp_path / "s", *drops, pause=0.1) as wire, pytest.raises(NoAnswer):
        wire.call("GET", "/", {})


def test_a_token_is_what_the_standard_says() -> None:
    token = fresh(GOOD)
    assert (token.value, token.life) == ("abc", timedelta(seconds=60))
    assert token.scopes == {"a", "b"}
    assert fresh({**GOOD, "expires_in": 10**12}).life == LONGEST


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("access_token", None),
        ("access_token", ""),
        ("access_token", "a\nb"),
        ("access_token", "ü"),
        ("token_type", "mac"),
        ("token_type", None),
        ("expires_in", None),
        ("expires_in", "60"),
        ("expires_in", 0),
        ("expires_in", True),
    ],
    ids=lambda value: ascii(value).replace("\\", "-"),
)
def test_what_is_no_token_is_refused(key: str, value: object) -> None:
    with pytest.raises(TokenUnavailable):
        fresh({**GOOD, key: value})
