"""Tokens over HTTP: credmgr's two ways, and `bao proxy` that serves a cached one, in one run."""

import json
import logging
import re
import socket
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import urllib3

from credmgr.cli import home as homes
from credmgr.sandbox import RunningSandbox, SandboxConfig
from tests.acceptance.installation import CLIENT, PARTNER, Installation, until
from tests.benchmarks.run import Told
from tests.benchmarks.wrk import Loaded, Target, command, compare
from tests.integration.openbao import Bao, binary, dev_server

CONNECTIONS: Final = (16, 64)
CONSUMER: Final = "nightly-report"
FORM: Final = "application/x-www-form-urlencoded"
PASSWORD: Final = "of-the-benchmark"  # noqa: S105 (of a server that lives as long as this)
POLICY: Final = 'path "auth/token/create" { capabilities = ["create", "update"] }'
PROXY: Final = """\
vault {{ address = "{address}" }}
cache {{}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_disable = true
}}
"""


def compared(folder: Path, runs: int) -> Iterator[Told]:
    """Every target at every number of connections, one process each."""
    command()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with credmgr(folder) as ours, bao_proxy(folder) as theirs:
        targets = [*ours, theirs]
        for connections in CONNECTIONS:
            found = compare(targets, connections, runs, folder)
            for one in found:
                yield Told(line(one, found[-1]), one)


def line(one: Loaded, peer: Loaded) -> str:
    """A line of the table."""
    name = f"{one.name}, {one.connections} connections"
    spread = (one.highest - one.lowest) / one.median
    return (
        f"{name:<52} {one.median:>8,.0f}/s {spread:>5.0%}  {one.median / peer.median:>5.2f} x"
        f"  p50 {one.p50:.2f} ms  p99 {one.p99:.2f} ms  {one.memory:.0f} MB"
    )


@contextmanager
def credmgr(folder: Path) -> Iterator[list[Target]]:
    """A daemon with one token at hand."""
    with RunningSandbox(SandboxConfig(port=0, admin_token_file=folder / "admin.token")) as box:
        home = Installation(folder / "home", box)
        homes.make(home.folder, homes.starter(homes.MANIFEST))
        (home.folder / "sandbox.token").touch(mode=0o600)
        (home.folder / "sandbox.token").write_text(box.admin_token.reveal())
        home.write()
        home.take_out(PARTNER)
        api = f'api: {{listen: "127.0.0.1:0", socket: "{folder}/run/api.sock"}}'
        home.edit("backends:", f"{api}\nbackends:")
        home.edit(
            "credential: caseforge/api-key, read: [secret]", f"credential: {CLIENT}, read: [token]"
        )
        home.grow()
        bearer = home.run("consumer", "add", CONSUMER).out.strip()
        with home.background("run") as running:
            said = running.wait_for("serving")
            port = re.search(r"127\.0\.0\.1:(\d+)", said[said.index("addresses") :])
            assert port is not None
            url, pid = f"http://127.0.0.1:{port[1]}", running.process.pid
            proof = {"Authorization": f"Bearer {bearer}"}
            basic = b64encode(f"{CONSUMER}:{bearer}".encode()).decode()
            form = {"Authorization": f"Basic {basic}", "Content-Type": FORM}
            read = Target("GET /v1/tokens", f"{url}/v1/tokens/{CLIENT}", proof, pid)
            body = "grant_type=client_credentials"
            posted = Target("POST /oauth/token", f"{url}/oauth/token", form, pid, body)
            for one in (read, posted):
                until(partial(answer, one))
            yield [read, posted]


@contextmanager
def bao_proxy(folder: Path) -> Iterator[Target]:
    """OpenBao's proxy with one token in its cache."""
    with dev_server() as server, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        file = folder / "proxy.hcl"
        file.write_text(PROXY.format(address=server.address, port=port))
        with subprocess.Popen(  # noqa: S603 (of the test dependencies, without a shell)
            [binary(), "proxy", f"-config={file}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield cached(server, f"http://127.0.0.1:{port}/v1", process.pid)
            finally:
                process.terminate()


def cached(server: Bao, url: str, pid: int) -> Target:
    """A token request of which the proxy keeps the answer.

    It caches only for whom it has signed in, so the parent token comes by way of it too.
    """
    server.ask("POST", "sys/auth/userpass", {"type": "userpass"})
    server.policy("minting", POLICY)
    account = {"password": PASSWORD, "token_policies": "minting"}
    server.ask("POST", f"auth/userpass/users/{CONSUMER}", account)
    login = Target(
        "", f"{url}/auth/userpass/login/{CONSUMER}", {}, pid, f'{{"password": "{PASSWORD}"}}'
    )
    parent = json.loads(until(lambda: answer(login)).data)["auth"]["client_token"]
    wanted = Target(
        "bao proxy, a token from its cache",
        f"{url}/auth/token/create",
        {"X-Vault-Token": parent},
        pid,
        '{"ttl": "30m"}',
    )
    answer(wanted)
    again = answer(wanted)
    if again is None or again.headers["X-Cache"] != "HIT":
        raise LookupError("the proxy does not cache this token")
    return wanted


def answer(target: Target) -> urllib3.BaseHTTPResponse | None:
    """The answer, when there is a good one."""
    method, body = ("POST", target.body) if target.body else ("GET", None)
    try:
        said = urllib3.request(
            method, target.url, headers=dict(target.headers), body=body, retries=False
        )
    except urllib3.exceptions.HTTPError:
        return None
    return said if said.status == 200 else None
