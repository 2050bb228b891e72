"""credmgr's own token endpoint before two upstreams: the sandbox, and `oidc-provider`."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from credmgr.api.server import Api
from credmgr.bootstrap import App, build
from credmgr.cli.home import make
from credmgr.manifest import load
from credmgr.model.names import Name
from credmgr.model.rotation import Trigger
from credmgr.model.secret import Secret
from credmgr.rotation.runbook import Runbook
from credmgr.rotation.work import Supplied
from credmgr.sandbox import RunningSandbox, SandboxConfig
from tests.integration.api_world import let_in
from tests.integration.oauth_clients import Wish
from tests.integration.upstream import AuthorizationServer, authorization_server

CREDENTIALS: Final = {
    "caseforge/reporting": "",
    "partner/header": "basic+client:1",
    "partner/form": "post+client:1",
    "partner/assertion": "es256",
}
"""Each credential, and its client at `oidc-provider`."""
UPSTREAMS: Final = tuple(CREDENTIALS)


def _manifest(sandbox: str, partner: str) -> str:
    credentials = "".join(
        f"""\
  {name}:
    kind: oauth-client
    issuer: {"partner" if client_id else "caseforge"}
    client_id: {client_id or "app_8v3k9m"}
    scopes: ["cases:read", "alerts:read"]
"""
        for name, client_id in CREDENTIALS.items()
    )
    grants = {name: f"{{credential: {name}, read: [token]}}" for name in CREDENTIALS}
    consumers = "".join(
        f"  {name}: {{owner: a, grants: [{grant}]}}\n" for name, grant in grants.items()
    )
    return f"""\
version: 1
state: {{master_key: file:master.key}}
api: {{listen: "127.0.0.1:0"}}
backends: {{local: {{plugin: local}}}}
issuers:
  caseforge: {{plugin: caseforge, url: "{sandbox}", admin_token: file:sandbox.token}}
  partner: {{plugin: oauth2, issuer: "{partner}"}}
defaults:
  owner: payments
  environment: test
  store: local
  rotation: {{manual: true, overlap: {{minimum: 60s, maximum: 60s}}}}
credentials:
{credentials}
consumers:
{consumers}  everything: {{owner: a, grants: [{", ".join(grants.values())}]}}
  reader: {{owner: a, grants: [{{credential: caseforge/reporting, read: [secret]}}]}}
"""


@dataclass(frozen=True)
class Endpoint:
    """A token endpoint, and a client of it."""

    url: str
    client_id: str
    secret: Secret

    def wish(self, method: str, *, secret: str | None = None, **params: str) -> Wish:
        """What a program tells its library, which uses another secret if one is given."""
        value = self.secret.reveal() if secret is None else secret
        return Wish(self.url, self.client_id, value, method, params)


@dataclass(frozen=True)
class TokenWorld:
    """A served installation and the bearers of its consumers."""

    url: str
    bearers: Mapping[str, Secret]

    def endpoint(self, consumer: str) -> Endpoint:
        """The token endpoint for one of the consumers."""
        return Endpoint(f"{self.url}/oauth/token", consumer, self.bearers[consumer])


@contextmanager
def token_world(folder: Path) -> Iterator[TokenWorld]:
    """An installation in `folder` that has every secret, and its API."""
    home = folder / "home"
    with ExitStack() as stack:
        box = stack.enter_context(
            RunningSandbox(SandboxConfig(port=0, admin_token_file=folder / "admin.token"))
        )
        partner = stack.enter_context(authorization_server("/tenant-a"))
        make(home, "version: 1\nstate: {master_key: file:master.key}\n")
        (home / "sandbox.token").touch(mode=0o600)
        (home / "sandbox.token").write_text(box.admin_token.reveal())
        (home / "credmgr.yaml").write_text(_manifest(box.url, partner.issuer))
        app = build(load(home / "credmgr.yaml"), actor="daemon@test")
        stack.callback(app.close)
        _supply(app, partner)
        bearers = {str(name): Secret(let_in(app, name)) for name in app.manifest.consumers}
        api = Api(app)
        api.start()
        stack.callback(api.stop, timedelta(seconds=5))
        yield TokenWorld(api.url, bearers)


def _supply(app: App, partner: AuthorizationServer) -> None:
    """The sandbox makes its first secret; those of the partner a person brings."""
    app.apply(app.plan())
    book = Runbook(app.engine)
    for name, client_id in CREDENTIALS.items():
        if client_id:
            book.bring(Name(name), Supplied(partner.clients[client_id].secret, "first"))
        else:
            book.rotate(Name(name), Trigger.FIRST)
    app.broker.tend()
