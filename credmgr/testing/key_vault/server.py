"""The fake on a socket: TLS, sign-in, and whatever goes wrong on the way."""

import base64
import json
import secrets
import socket
import ssl
import tempfile
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from credmgr.model.clock import Clock, SystemClock
from credmgr.testing.faults import Fault, Faults
from credmgr.testing.faulty_http import FaultyHandler, FaultyServer, Reply
from credmgr.testing.key_vault.actions import action_of
from credmgr.testing.key_vault.authority import RESOURCE, TENANT, Authority
from credmgr.testing.key_vault.certificate import write_certificates
from credmgr.testing.key_vault.content import Content
from credmgr.testing.key_vault.routes import Routes, error_body
from credmgr.testing.key_vault.tokens import StaticToken

_NOT_NOW: Final = "temporarily_unavailable"


class FakeKeyVault:
    """A Key Vault on loopback with real TLS, and the authority that signs in to it.

        with FakeKeyVault() as vault:
            options = AzureOptions(
                vault_url=vault.url, ca_bundle=str(vault.ca_file), verify_challenge_resource=False
            )

    Args:
        clock: Time.
        permits: The data actions that it lets its callers do; None is every one.

    Attributes:
        url: `https://localhost:PORT`.
        ca_file: PEM file of the authority to trust.
        pem_file: What it shows: certificate and key, as PEM.
        content: What it holds, and how slowly changes become visible.
        faults: What goes wrong next.
        credential: A credential for the SDK whose token is accepted.
        authority: Who gives tokens, and for what.
        claims: What it says that a token of the authority's that was taken away is missing.
        sign_in_faults: What goes wrong next at the authority.
        calls: Method and path of every request that was signed in and permitted, oldest first.
        refused: Those that were signed in and not permitted.
        connections: How many were opened to it.
        unsigned: The bodies of requests that were not signed in; the SDK's are empty.
    """

    def __init__(self, clock: Clock | None = None, permits: Collection[str] | None = None) -> None:
        self.permits = permits
        self._clock = clock or SystemClock()
        self._folder = tempfile.TemporaryDirectory(prefix="credmgr-key-vault-")
        token = secrets.token_urlsafe()
        self.credential = StaticToken(token)
        self.authority = Authority(self._clock.now)
        self.authority.tokens.add(token)
        self.claims = ""
        self.sign_in_faults = Faults()
        self.content = Content(self._clock.now)
        self.faults = Faults()
        self.connections = 0
        self.calls: list[tuple[str, str]] = []
        self.refused: list[tuple[str, str]] = []
        self.unsigned: list[bytes] = []

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

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection, counted."""
        self.vault.connections += 1
        return super().get_request()


class _Handler(FaultyHandler):
    server: _Server

    def answer(self, body: bytes) -> None:
        """Sign in, refuse what is not signed in, or do what is asked."""
        vault = self.server.vault
        path = urlsplit(self.path).path
        if vault.authority.is_for(self.path):
            fault = vault.sign_in_faults.next(self.command, path)
            self.serve(fault, partial(self._signed_in, body))
        elif self._token not in vault.authority.tokens:
            vault.unsigned.append(body)
            refused = _reply(401, error_body("Unauthorized"))
            headers = {**refused.headers, "WWW-Authenticate": self._challenge}
            self.send(refused._replace(headers=headers))
        elif not self._is_permitted(path):  # before it looks whether there is such an object
            vault.refused.append((self.command, path))
            self.send(_reply(403, error_body("Forbidden", "ForbiddenByRbac")))
        else:
            vault.calls.append((self.command, path))
            self.serve(vault.faults.next(self.command, path), partial(self._applied, body))

    def refusal(self, fault: Fault) -> Reply:
        """A refusal as Key Vault writes it, or as Microsoft Entra does."""
        if self.server.vault.authority.is_for(self.path):
            return _reply(fault.status, {"error": _NOT_NOW, "error_description": fault.code})
        return _reply(fault.status, error_body(fault.code))

    def _is_permitted(self, path: str) -> bool:
        permits, action = self.server.vault.permits, action_of(self.command, path)
        return permits is None or action is None or action in permits

    @property
    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    @property
    def _challenge(self) -> str:
        vault = self.server.vault
        known = f'Bearer authorization="{vault.url}/{TENANT}", resource="{RESOURCE}"'
        if not vault.claims or self._token not in vault.authority.given:
            return known
        claims = base64.b64encode(vault.claims.encode()).decode()
        return f'{known}, error="insufficient_claims", claims="{claims}"'

    def _signed_in(self, body: bytes) -> Reply:
        vault = self.server.vault
        headers = {name.title(): value for name, value in self.headers.items()}
        return _reply(*vault.authority.answer(vault.url, self.path, headers, body))

    def _applied(self, body: bytes) -> Reply:
        return _reply(*self.server.vault.routes.answer(self.command, self.path, body))


def _reply(status: int, answer: Any) -> Reply:
    content = b"" if answer is None else json.dumps(answer).encode()
    return Reply(status, {"Content-Type": "application/json; charset=utf-8"}, content)
