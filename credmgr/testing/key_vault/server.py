"""The fake on a socket: TLS, sign-in, and whatever goes wrong on the way."""

import json
import secrets
import socket
import ssl
import struct
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from credmgr.model.clock import Clock, SystemClock
from credmgr.testing.key_vault.certificate import write_certificates
from credmgr.testing.key_vault.content import Content
from credmgr.testing.key_vault.faults import Fault, Faults, Harm
from credmgr.testing.key_vault.routes import Routes, error_body
from credmgr.testing.key_vault.tokens import StaticToken

TENANT: Final = "11111111-2222-3333-4444-555555555555"
APPLICATION: Final = "66666666-7777-8888-9999-000000000000"
_RESOURCE: Final = "https://vault.azure.net"
_LONGEST_HANG: Final = 60.0
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
        self._closing = Event()
        token = secrets.token_urlsafe()
        self.credential = StaticToken(token)
        self.client_secret = secrets.token_urlsafe()
        self.content = Content(self._clock.now)
        self.faults = Faults()
        self.calls: list[tuple[str, str]] = []
        self.unsigned: list[bytes] = []
        self.tokens = {token}

    def __enter__(self) -> Self:
        self.ca_file, pem = write_certificates(Path(self._folder.name), self._clock.now())
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem)
        self._server = _Server(self, tls)
        self.url = f"https://localhost:{self._server.server_port}"
        self.routes = Routes(self.content, self.url)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.drop_connections()
        self._server.server_close()
        self._thread.join()
        self._folder.cleanup()

    def hang(self) -> None:
        """Wait until nobody can be waiting any more."""
        self._closing.wait(_LONGEST_HANG)

    def pause(self, seconds: float) -> bool:
        """Wait a little; True when the server is closing."""
        return self._closing.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True
    request_queue_size = 128

    def __init__(self, vault: FakeKeyVault, tls: ssl.SSLContext) -> None:
        self.vault = vault
        self._tls = tls
        self._open: set[ssl.SSLSocket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        plain, address = self.socket.accept()
        wrapped = self._tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self._open.add(wrapped)
        return wrapped, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up, or does not trust us, is no error of the server's."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name upstream)
        """Nothing is logged."""

    def do_GET(self) -> None:
        """Answer a request; the other methods are the same."""
        vault = self.server.vault
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        if path.startswith(f"/{TENANT}/"):
            self._send(*self._signed_in(path, body))
        elif self.headers.get("Authorization", "").removeprefix("Bearer ") not in vault.tokens:
            vault.unsigned.append(body)
            challenge = f'Bearer authorization="{vault.url}/{TENANT}", resource="{_RESOURCE}"'
            refused = error_body("Unauthorized")
            self._send(401, refused, headers={"WWW-Authenticate": challenge})
        else:
            vault.calls.append((self.command, path))
            self._serve(vault.faults.next(self.command, path), body)

    do_PUT = do_PATCH = do_DELETE = do_POST = do_GET  # noqa: N815 (http.server's names)

    def _serve(self, fault: Fault | None, body: bytes) -> None:
        if fault is None:
            self._send(*self._applied(body))
            return
        match fault.harm:
            case Harm.ANSWER:
                self._send(fault.status, error_body(fault.code), headers=fault.headers)
            case Harm.RESET:
                self._reset()
            case Harm.HANG:
                self._hang()
            case Harm.TWICE:
                self._applied(body)
                self._send(*self._applied(body))
            case _:
                self._spoil(fault, *self._applied(body))

    def _spoil(self, fault: Fault, status: int, answer: Any) -> None:
        match fault.harm:
            case Harm.LOST:
                self.close_connection = True
            case Harm.APPLIED_HANG:
                self._hang()
            case Harm.DRIP:
                self._drip(status, answer)
            case Harm.TRUNCATED:
                content = json.dumps(answer).encode()
                self._head(status, len(content))
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
            case _:
                self._head(status, len(fault.body))
                self.wfile.write(fault.body)

    def _applied(self, body: bytes) -> tuple[int, Any]:
        return self.server.vault.routes.answer(self.command, self.path, body)

    def _send(self, status: int, answer: Any, *, headers: Mapping[str, str] | None = None) -> None:
        content = b"" if answer is None else json.dumps(answer).encode()
        self._head(status, len(content), headers)
        self.wfile.write(content)

    def _head(self, status: int, length: int, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def _drip(self, status: int, answer: Any) -> None:
        content = json.dumps(answer).encode()
        self._head(status, len(content))
        for byte in content:
            self.wfile.write(bytes([byte]))
            if self.server.vault.pause(0.05):
                break

    def _hang(self) -> None:
        self.server.vault.hang()
        self.close_connection = True

    def _reset(self) -> None:
        # SO_LINGER with no time: closing sends RST
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

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
