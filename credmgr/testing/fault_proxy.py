"""A proxy on loopback that stands before a real server and spoils what it is told to.

    with FaultProxy("127.0.0.1", 8200) as proxy:
        proxy.faults.add(Fault(Harm.LOST, method="PUT"))
        ...                                   # talk to proxy.url

It speaks HTTP/1.1, one request on each connection, and TLS on both sides where it is given two
contexts. Without a fault it changes nothing but the header `Connection`.
"""

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Final, Self

from credmgr.testing.faults import Fault, Faults, Harm

DRIP_SECONDS: Final = 1.0
"""Between two bytes of an answer that drips."""
_LARGEST_PART: Final = 65_536
_PATIENCE: Final = 60.0
_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Tls:
    """Both sides of a server that speaks TLS.

    Attributes:
        serving: The certificate that the proxy shows.
        asking: What it trusts of the server behind it.
    """

    serving: ssl.SSLContext
    asking: ssl.SSLContext


class FaultProxy:
    """Forwards to one server, and does to requests what `faults` says.

    Attributes:
        faults: What goes wrong next; each once.
        always: What happens to every request that no other fault takes; None lets them pass.
        url: Where it listens, on `localhost`.
        seen: How many requests have come.
    """

    def __init__(self, host: str, port: int, tls: Tls | None = None) -> None:
        self.faults = Faults()
        self.always: Fault | None = None
        self.seen = 0
        self._behind = (host, port)
        self._tls = tls
        self._over = Event()
        self._lock = Lock()
        self._talks: set[Thread] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'https' if self._tls else 'http'}://localhost:{self._port}"

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._hang_up()
        self.settle()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Meanwhile nobody listens: connections are refused."""
        self._hang_up()
        try:
            yield
        finally:
            self._listener = socket.create_server(("127.0.0.1", self._port))
            self._listen()

    def release(self) -> None:
        """Let every request that hangs or drips end, and wait until all have."""
        self._over.set()
        self.settle()
        self._over.clear()

    def settle(self) -> None:
        """Wait until no request is under way."""
        with self._lock:
            talks = list(self._talks)
        for talk in talks:
            talk.join()

    def _listen(self) -> None:
        self._acceptor = Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # it was closed
            while True:
                plain, _ = listener.accept()
                talk = Thread(target=self._talk, args=(plain,), daemon=True)
                with self._lock:
                    self._talks = {one for one in self._talks if one.is_alive()} | {talk}
                    talk.start()

    def _talk(self, plain: socket.socket) -> None:
        plain.settimeout(_PATIENCE)
        with suppress(OSError), plain:
            if self._tls is None:
                self._serve(plain)
                return
            with self._tls.serving.wrap_socket(plain, server_side=True) as client:
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        request = _whole(client)
        if not request:
            return
        method, path = request.split(b" ", 2)[:2]
        self.seen += 1
        fault = self.faults.next(method.decode(), path.decode()) or self.always
        if fault is None:
            client.sendall(self._forwarded(request))
        else:
            self._spoil(client, request, fault)

    def _spoil(self, client: socket.socket, request: bytes, fault: Fault) -> None:
        match fault.harm:
            case Harm.ANSWER:
                client.sendall(_answer(fault))
            case Harm.RESET:
                _reset(client)
            case Harm.HANG:
                self._over.wait()
            case Harm.TWICE:
                self._forwarded(request)
                client.sendall(self._forwarded(request))
            case _:
                self._garble(client, fault, self._forwarded(request))

    def _garble(self, client: socket.socket, fault: Fault, answer: bytes) -> None:
        """What was asked is done; what the client hears of it is another matter."""
        match fault.harm:
            case Harm.APPLIED_HANG:
                self._over.wait()
            case Harm.DRIP:
                self._drip(client, answer)
            case Harm.TRUNCATED:
                client.sendall(_half(answer))
            case Harm.BROKEN:
                client.sendall(_half(answer))
                _reset(client)
            case Harm.NONSENSE:
                client.sendall(_framed("200 OK", {}, fault.body))
            case _:
                """The answer is lost."""

    def _drip(self, client: socket.socket, answer: bytes) -> None:
        head, end, body = answer.partition(_END)
        client.sendall(head + end)
        for byte in body:
            if self._over.wait(DRIP_SECONDS):
                return
            client.sendall(bytes([byte]))

    def _forwarded(self, request: bytes) -> bytes:
        """The server's whole answer; nothing when it closed without one."""
        with socket.create_connection(self._behind, _PATIENCE) as plain:
            if self._tls is None:
                return _asked(plain, request)
            wrapped = self._tls.asking.wrap_socket(plain, server_hostname="localhost")
            with wrapped as server:
                return _asked(server, request)


def _asked(server: socket.socket, request: bytes) -> bytes:
    server.sendall(_closing(request))
    answer = b""
    while part := server.recv(_LARGEST_PART):
        answer += part
    return _closing(answer)


def _whole(client: socket.socket) -> bytes:
    """One request, head and body; nothing when the client hung up."""
    data = b""
    while _END not in data:
        part = client.recv(_LARGEST_PART)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(_END)
    length = next((int(v) for n, v in _fields(head) if n.lower() == b"content-length"), 0)
    while len(body) < length and (part := client.recv(_LARGEST_PART)):
        body += part
    return head + _END + body


def _closing(message: bytes) -> bytes:
    """The same with `Connection: close`."""
    head, end, body = message.partition(_END)
    first, _, _ = head.partition(b"\r\n")
    kept = [name + b":" + value for name, value in _fields(head) if name.lower() != b"connection"]
    return b"\r\n".join([first, *kept, b"Connection: close"]) + end + body if end else message


def _fields(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        yield name, value


def _answer(fault: Fault) -> bytes:
    body = f'{{"error": {{"code": "{fault.code}"}}}}'.encode()
    return _framed(f"{fault.status} Spoiled", dict(fault.headers), body)


def _framed(status: str, headers: dict[str, str], body: bytes) -> bytes:
    given = {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "Connection: close"]).encode() + _END + body


def _half(answer: bytes) -> bytes:
    return answer[: len(answer) // 2]


def _reset(client: socket.socket) -> None:
    # SO_LINGER with no time: closing sends RST
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
