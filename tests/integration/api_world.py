"""An API that serves an installation whose credentials live at a sandbox."""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from credmgr.api.server import Api
from credmgr.bootstrap import App, build
from credmgr.cli.home import make
from credmgr.manifest import load
from credmgr.model.bearers import digest, new_bearer
from credmgr.model.consumer import Bearer
from credmgr.model.names import Name
from credmgr.model.rotation import Trigger
from credmgr.rotation.runbook import Runbook
from credmgr.sandbox import RunningSandbox, SandboxConfig

KEY: Final = Name("caseforge/api-key")
CLIENT: Final = Name("caseforge/client-secret")
OTHER: Final = Name("caseforge/other")
MANIFEST: Final = """\
version: 1
state: {{master_key: file:master.key}}
api: {{listen: "127.0.0.1:0"}}
backends: {{local: {{plugin: local}}}}
issuers: {{caseforge: {{plugin: caseforge, url: "{url}", admin_token: file:sandbox.token}}}}
defaults:
  owner: payments
  environment: development
  store: local
  rotation: {{manual: true, overlap: {{minimum: 60s, maximum: 60s}}}}
consumers:
  reader: {{owner: a, grants: [{{credential: caseforge/api-key, read: [secret]}}]}}
  minter:
    owner: b
    grants: [{{credential: caseforge/client-secret, read: [token], scopes: ["cases:read"]}}]
  both:
    owner: c
    grants:
      - {{credential: caseforge/api-key, read: [secret]}}
      - {{credential: caseforge/client-secret, read: [secret, token]}}
  nobody: {{owner: d}}
  watcher: {{owner: e, operator: true}}
  local: {{owner: f, uid: 4242, grants: [{{credential: caseforge/api-key, read: [secret]}}]}}
credentials:
  caseforge/api-key: {{kind: api-key, issuer: caseforge, scopes: ["cases:read"]}}
  caseforge/client-secret:
    kind: oauth-client
    issuer: caseforge
    client_id: app_8v3k9m
    scopes: ["cases:read", "cases:write"]
  caseforge/other: {{kind: api-key, issuer: caseforge, scopes: ["cases:read"]}}
"""
BEARERS: Final = ("reader", "minter", "both", "nobody", "watcher")


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class World:
    """A served installation and those who may ask it."""

    home: Path
    box: RunningSandbox
    app: App
    api: Api
    bearers: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.api.url.rpartition(":")[2])

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        who: str | None = None,
        *,
        body: bytes | str | None = None,
        **headers: str,
    ) -> Said:
        """One request over TCP by a consumer with its bearer."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if who is not None:
            sent["Authorization"] = f"Bearer {self.bearers.get(who, who)}"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Said(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def unix(self, method: str, path: str, **headers: str) -> Said:
        """One request over the Unix socket, as this process's user."""
        connection = HTTPConnection("localhost", timeout=20)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.app.manifest.api.socket))
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return Said(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def raw(self, sent: bytes, seconds: float = 20) -> bytes:
        """Bytes over TCP, and what comes back until the connection ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as link:
            link.sendall(sent)
            said = b""
            while chunk := link.recv(65536):
                said += chunk
            return said

    def head(self, who: str, path: str, *lines: str, method: str = "GET") -> bytes:
        """A request's head as it goes over the wire, closing the connection."""
        first = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", "Connection: close"]
        bearer = f"Authorization: Bearer {self.bearers[who]}"
        return "\r\n".join([*first, bearer, *lines, "", ""]).encode("latin-1")


@contextmanager
def serving(folder: Path, *, text: str = MANIFEST) -> Iterator[World]:
    """An installation in `folder`, with its first secrets, and its API."""
    home = folder / "home"
    config = SandboxConfig(port=0, admin_token_file=folder / "admin.token")
    with RunningSandbox(config) as box:
        make(home, "version: 1\nstate: {master_key: file:master.key}\n")
        (home / "sandbox.token").write_text(box.admin_token.reveal())
        (home / "sandbox.token").chmod(0o600)
        (home / "credmgr.yaml").write_text(text.format(url=box.url))
        app = build(load(home / "credmgr.yaml"), actor="daemon@test")
        try:
            app.apply(app.plan())
            for name in (KEY, CLIENT, OTHER):
                Runbook(app.engine).rotate(name, Trigger.FIRST)
            app.broker.tend()
            api = Api(app)
            world = World(home, box, app, api, {who: let_in(app, who) for who in BEARERS})
            api.start()
            try:
                yield world
            finally:
                api.stop(timedelta(seconds=5))
        finally:
            app.close()


def let_in(app: App, who: str) -> str:
    """A bearer for a consumer."""
    value = new_bearer().reveal()
    bearer = Bearer(Name(who), digest(value.encode()), app.clock.now())
    app.store.ledger.give_bearer(bearer, timedelta(), "test")
    return value
