"""A running daemon of its own, and the bytes that somebody may send it."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from credmgr.cli import home as homes
from credmgr.sandbox import RunningSandbox, SandboxConfig
from tests.acceptance.installation import KEY, PARTNER, Background, Installation, until

PATH: Final = f"/v1/secrets/{KEY}"
CONSUMER: Final = "nightly-report"


@dataclass(frozen=True)
class Victim:
    """A daemon that is attacked.

    Attributes:
        running: Its process.
        home: Its folder.
        port: Where it listens on loopback.
        unix: Its Unix socket.
        bearer: What a consumer of it may come in with.
    """

    running: Background
    home: Path
    port: int
    unix: Path
    bearer: str

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def traces(self) -> str:
        """All that it leaves behind or shows: log, state database, arguments, environment."""
        process = Path(f"/proc/{self.running.process.pid}")
        files = [process / "cmdline", process / "environ", self.running.out, self.running.err]
        found = [*files, *self.home.glob("state.db*")]
        return "\n".join(path.read_bytes().decode("latin-1") for path in found)

    @property
    def memory(self) -> int:
        """What the process has in memory, in bytes."""
        status = Path(f"/proc/{self.running.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def link(self, door: str) -> socket.socket:
        """A connection to it."""
        if door == "tcp":
            return socket.create_connection(("127.0.0.1", self.port), timeout=20)
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(20)
        link.connect(str(self.unix))
        return link

    def send(self, sent: bytes, door: str = "tcp") -> bytes:
        """What comes back for these bytes, until the connection ends."""
        with self.link(door) as link:
            try:
                link.sendall(sent)
                return everything(link)
            except (ConnectionResetError, BrokenPipeError):
                return b""

    def request(self, *lines: str, first: str = f"GET {PATH} HTTP/1.1", host: bool = True) -> bytes:
        """A request's head, with a good bearer, that ends the connection."""
        named = [f"Host: {self.host}"] if host else []
        known = [*named, f"Authorization: Bearer {self.bearer}", "Connection: close"]
        return "\r\n".join([first, *known, *lines, "", ""]).encode("latin-1")

    def serves(self) -> bool:
        """Whether an honest request is answered."""
        return status(self.send(self.request())) == 200


def everything(link: socket.socket) -> bytes:
    """What comes until the other end closes."""
    said = b""
    while chunk := link.recv(65536):
        said += chunk
    return said


def status(answer: bytes) -> int:
    """The status of the first answer; 0 when there is none."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found[1]) if found else 0


@contextmanager
def victim(folder: Path) -> Iterator[Victim]:
    """A daemon that listens on loopback and on its socket, with one secret to give out."""
    config = SandboxConfig(port=0, admin_token_file=folder / "sandbox.token")
    with RunningSandbox(config) as box:
        home = Installation(folder / "home", box, {"CREDMGR_LOG_LEVEL": "debug"})
        homes.make(home.folder, homes.starter(homes.MANIFEST))
        (home.folder / "sandbox.token").write_text(box.admin_token.reveal())
        (home.folder / "sandbox.token").chmod(0o600)
        home.write()
        home.take_out(PARTNER)
        api = f'api: {{listen: "127.0.0.1:0", socket: "{folder}/run/api.sock"}}'
        home.edit("backends:", f"{api}\nbackends:")
        home.grow()
        bearer = home.run("consumer", "add", CONSUMER).out.strip()
        with home.background("run") as running:
            said = running.wait_for("serving")
            port = re.search(r'"addresses": \["127\.0\.0\.1:(\d+)', said)
            assert port is not None, said
            found = Victim(running, home.folder, int(port[1]), folder / "run" / "api.sock", bearer)
            until(found.serves)
            yield found
            assert running.stop() == 0
        log = running.out.read_text() + running.err.read_text()
        assert "Traceback" not in log
        assert bearer not in log
