"""The fake on a socket: TLS, sign-in, and whatever goes wrong on the way."""

import json
import secrets
import ssl
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from credmgr.model.clock import Clock, SystemClock
from credmgr.testing.faults import Fault, Faults
from credmgr.testing.faulty_http import FaultyHandler, FaultyServer, Reply
from credmgr.testing.key_vault.certificate import write_certificates
from credmgr.testing.key_vault.content import Content
from credmgr.testing.key_vault.routes import Routes, error_body
from credmgr.testing.key_vault.tokens import StaticToken

TENANT: Final = "11111111-2222-3333-4444-555555555555"
APPLICATION: Final = "66666666-7777-8888-9999-000000000000"
_RESOURCE: Final = "https://vault.azure.net"
_TOKEN_SECONDS: Final = 3600


class FakeKeyVault:
    """A Key Vault on loopback with real TLS, and the authority that signs in to it.

        with FakeKeyVault() as vault:
            options = AzureOptions(
                vault_url=vault.url, ca_bundle=str(vault.ca_file), verify_challenge_resource=False
            )

    Attributes:
        url: `https://localhost:PORT`.
        ca_file: PEM file of the authority to trust.
        pem_file: What it shows: certificate and key, as PEM.
        content: What it holds, and how slowly changes become visible.
        faults: What goes wrong next.
        credential: A credential for the SDK whose token is accepted.
        client_secret: What `APPLICATION` signs in with at `/TENANT/oauth2/v2.0/token`.
        calls: Method and path of every request that was signed in, oldest first.
        unsigned: The bodies of requests that were not signed in; the SDK's are empty.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._folder = tempfile.TemporaryDirectory(prefix="credmgr-key-vault-")
        token = secrets.token_urlsafe()
        self.credential = StaticToken(token)
        self.client_secret = secrets.token_urlsafe()
        self.content = Content(self._clock.now)
        self.faults = Faults()
        self.calls: list[tuple[str, str]] = []
        self.unsigned: list[bytes] = []
        self.tokens = {token}

    def __enter__(self) -> Self:
        self.ca_file, self.pem_file = write_certificates(Path(self._folder.name), self._clock.now())
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.pem_file)
        self._server = _Server(self, tls)
        self.url = f"https://localhost:{self._server.server_port}"
        self.routes = Routes(self.content, self.url)
        self._server.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.end()
        self._folder.cleanup()


class _Server(FaultyServer):
    def __init__(self, vault: FakeKeyVault, tls: ssl.SSLContext) -> None:
        self.vault = vault
        super().__init__(_Handler, tls=tls)


class _Handler(FaultyHandler):
    server: _Server

    def answer(self, body: bytes) -> None:
        """Sign in, refuse what is not signed in, or do what is asked."""
        vault = self.server.vault
        path = urlsplit(self.path).path
        if path.startswith(f"/{TENANT}/"):
            self.send(_reply(*self._signed_in(path, body)))
        elif self.headers.get("Authorization", "").removeprefix("Bearer ") not in vault.tokens:
            vault.unsigned.append(body)
            challenge = f'Bearer authorization="{vault.url}/{TENANT}", resource="{_RESOURCE}"'
            refused = _reply(401, error_body("Unauthorized"))
            self.send(refused._replace(headers={**refused.headers, "WWW-Authenticate": challenge}))
        else:
            vault.calls.append((self.command, path))
            self.serve(vault.faults.next(self.command, path), partial(self._applied, body))

    def refusal(self, fault: Fault) -> Reply:
        """A refusal as Key Vault writes it."""
        return _reply(fault.status, error_body(fault.code))

    def _applied(self, body: bytes) -> Reply:
        return _reply(*self.server.vault.routes.answer(self.command, self.path, body))

    def _signed_in(self, path: str, body: bytes) -> tuple[int, Any]:
        """What Microsoft Entra does for a client secret, as far as MSAL needs it."""
        vault = self.server.vault
        base = f"{vault.url}/{TENANT}"
        if path.endswith("/.well-known/openid-configuration"):
            return 200, {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
            }
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        given = form.get("client_id"), form.get("client_secret")
        if given != (APPLICATION, vault.client_secret):
            said = "AADSTS7000215: Invalid client secret provided."
            return 401, {"error": "invalid_client", "error_description": said}
        token = secrets.token_urlsafe()
        vault.tokens.add(token)
        return 200, {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": _TOKEN_SECONDS,
        }


def _reply(status: int, answer: Any) -> Reply:
    content = b"" if answer is None else json.dumps(answer).encode()
    return Reply(status, {"Content-Type": "application/json; charset=utf-8"}, content)
