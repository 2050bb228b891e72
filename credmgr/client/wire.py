"""One HTTP call, over TCP, TLS or a Unix socket, with one deadline for the whole of it.

A connection for each call: tokens are asked for once in a while, and nothing that is kept open has
to survive a fork or a restart at the other end. No proxy is taken from the environment.
"""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Event, Timer
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from credmgr.errors import ConfigError

DEADLINE: Final = timedelta(seconds=20)
"""Of a whole call; credmgr itself waits 15 s for an issuer."""
CONNECTING: Final = timedelta(seconds=5)
LONGEST: Final = 1 << 18
"""Bytes of an answer."""
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class NoAnswer(Exception):
    """Nobody answered, or not with HTTP; the text says what happened."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: The HTTP status.
        after: What Retry-After asks for.
        content: The body.
    """

    status: int
    after: timedelta
    content: bytes

    @property
    def json(self) -> Mapping[str, Any]:
        """The body as a JSON object; empty when it is none."""
        try:
            read = json.loads(self.content)
        except ValueError:
            return {}
        return read if isinstance(read, dict) else {}


@dataclass(frozen=True, slots=True)
class Wire:
    """The way to one server.

    Attributes:
        url: Its address; nothing of it is used for a Unix socket but the path.
        socket: The path of its Unix socket, if that is how it is reached.
        deadline: Of a whole call.
    """

    url: SplitResult
    socket: str | None = None
    deadline: timedelta = DEADLINE

    @classmethod
    def to(cls, url: str) -> "Wire":
        """The way to an `https` address, or to an `http` one of this machine.

        Raises:
            ConfigError: It is neither: a secret would travel in the open.
        """
        try:
            parts = urlsplit(url)
            known, _ = parts.hostname, parts.port
        except ValueError:
            known, parts = None, SplitResult("", "", "", "", "")
        if not known or not (
            parts.scheme == "https" or (parts.scheme == "http" and known in _LOOPBACK)
        ):
            raise ConfigError(
                f"{url!a} is neither an https address nor an http one of this machine",
                hint="what is sent there is secret",
            )
        return cls(parts)

    def call(
        self, method: str, target: str, headers: Mapping[str, str], body: str | None = None
    ) -> Answer:
        """One request and its answer.

        Raises:
            NoAnswer: There was none within the deadline.
        """
        connection = self._connection()
        try:
            connection.connect()
            with _ended_after(self.deadline, connection.sock):
                connection.request(method, target, body, dict(headers))
                answer = connection.getresponse()
                content = answer.read(LONGEST + 1)
        except TimeoutError:
            raise NoAnswer("it took too long") from None
        except OSError as error:
            raise NoAnswer(error.strerror or type(error).__name__) from None
        except HTTPException as error:
            raise NoAnswer(type(error).__name__) from None
        finally:
            connection.close()
        if len(content) > LONGEST:
            raise NoAnswer("the answer is too long")
        return Answer(answer.status, _seconds(answer.getheader("Retry-After")), content)

    def _connection(self) -> HTTPConnection:
        seconds = CONNECTING.total_seconds()
        if self.socket is not None:
            return _UnixConnection(self.socket, seconds)
        host = self.url.hostname or ""
        if self.url.scheme == "https":
            return HTTPSConnection(host, self.url.port, timeout=seconds)
        return HTTPConnection(host, self.url.port, timeout=seconds)


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@contextmanager
def _ended_after(length: timedelta, sock: socket.socket) -> Iterator[None]:
    """Nothing more comes over a socket after a while, however slowly it drips until then.

    Raises:
        TimeoutError: So it was; what came until then is no answer.
    """
    sock.settimeout(length.total_seconds())
    over = Event()
    timer = Timer(length.total_seconds(), _end, (sock, over))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if over.is_set():
        raise TimeoutError


def _end(sock: socket.socket, over: Event) -> None:
    over.set()
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of the plain socket, below TLS


def _seconds(text: str | None) -> timedelta:
    """What Retry-After asks for, a second to a minute; a date is not counted out."""
    asked = int(text) if text is not None and text.isascii() and text.isdigit() else 1
    return timedelta(seconds=max(1, min(asked, 60)))
