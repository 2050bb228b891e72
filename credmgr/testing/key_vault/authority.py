"""Microsoft Entra, and the endpoints of managed identities, as far as signing in needs them."""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

TENANT: Final = "11111111-2222-3333-4444-555555555555"
APPLICATION: Final = "66666666-7777-8888-9999-000000000000"
RESOURCE: Final = "https://vault.azure.net"
APP_SERVICE: Final = "/msi/token"
"""What IDENTITY_ENDPOINT names, with IDENTITY_HEADER beside it."""
METADATA: Final = "/metadata/identity/oauth2/token"
"""Where the instance metadata service of a virtual machine gives out tokens."""
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SECONDS: Final = 3600


class Authority:
    """Gives tokens to whoever proves to be `APPLICATION`. Thread-safe.

    Attributes:
        tokens: Those that the vault takes; a test may take some away.
        client_secret: What proves it at `/TENANT/oauth2/v2.0/token`,
        federated_token: or as an assertion: the token of a workload,
        public_key: or one that is signed with the private half of this PEM.
        identity_header: What proves it at `APP_SERVICE`; at `METADATA` being there does.
        given: Every token that was given out, oldest first.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.tokens: set[str] = set()
        self.client_secret = secrets.token_urlsafe()
        self.federated_token = secrets.token_urlsafe()
        self.identity_header = secrets.token_urlsafe()
        self.public_key = b""
        self.given: list[str] = []
        self._now = now

    def is_for(self, target: str) -> bool:
        """Whether a request is to sign in."""
        path = urlsplit(target).path
        return path.startswith(f"/{TENANT}/") or path in (APP_SERVICE, METADATA)

    def answer(
        self, url: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Any]:
        """The status and the JSON of the answer of the authority at `url`; headers are Titled."""
        parts = urlsplit(target)
        if parts.path in (APP_SERVICE, METADATA):
            return self._identity(parts.path, _first(parts.query), headers)
        base = f"{url}/{TENANT}"
        endpoint = f"{base}/oauth2/v2.0/token"
        if parts.path.endswith("/.well-known/openid-configuration"):
            return 200, {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": endpoint,
            }
        form = _first(body.decode())
        if form.get("client_id") != APPLICATION or not self._proves(form, endpoint):
            said = "AADSTS7000215: Invalid client secret provided."
            return 401, {"error": "invalid_client", "error_description": said}
        return 200, self._token()

    def _proves(self, form: Mapping[str, str], endpoint: str) -> bool:
        if form.get("client_assertion_type") != _ASSERTION:
            return form.get("client_secret") == self.client_secret
        assertion = form.get("client_assertion", "")
        return assertion == self.federated_token or self._is_signed(assertion, endpoint)

    def _is_signed(self, assertion: str, endpoint: str) -> bool:
        """RFC 7523 §3, by the algorithms that MSAL signs with."""
        try:
            key = RSAKey.import_key(self.public_key)
            claims = jwt.decode(assertion, key, algorithms=["PS256", "RS256"]).claims
        except (JoseError, ValueError):
            return False
        who = claims.get("iss"), claims.get("sub"), claims.get("aud")
        return who == (APPLICATION, APPLICATION, endpoint) and claims.get("exp", 0) > self._seconds

    def _identity(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        known = {
            APP_SERVICE: headers.get("X-Identity-Header") == self.identity_header,
            METADATA: headers.get("Metadata") == "true",
        }
        wanted = query.get("resource"), query.get("client_id", APPLICATION)
        if not known[path] or wanted != (RESOURCE, APPLICATION):
            return 400, {"error": "invalid_request", "error_description": "no such identity"}
        return 200, {**self._token(), "expires_on": str(self._seconds + _SECONDS)}

    def _token(self) -> dict[str, Any]:
        token = secrets.token_urlsafe()
        self.given.append(token)
        self.tokens.add(token)
        return {"access_token": token, "token_type": "Bearer", "expires_in": _SECONDS}

    @property
    def _seconds(self) -> int:
        return int(self._now().timestamp())


def _first(form: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(form).items()}
