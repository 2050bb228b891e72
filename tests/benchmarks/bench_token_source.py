"""A token that is at hand in a consumer's process: ours beside Authlib's and MSAL's."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from authlib.oauth2.rfc6749.wrappers import OAuth2Token
from msal import TokenCache

from credmgr.client import Fresh, TokenSource
from tests.benchmarks.run import Benchmark

CLIENT, SCOPES = "app_8v3k9m", ["cases:read"]


@contextmanager
def benchmarks(folder: Path) -> Iterator[Sequence[Benchmark]]:
    """A hit of each, for one credential with one live token."""
    del folder
    source = TokenSource(Once())
    source.token()
    yield [
        Benchmark("token at hand: credmgr.client.TokenSource", source.token),
        Benchmark("token at hand: Authlib, OAuth2Token.is_expired", authlib()),
        Benchmark("token at hand: MSAL, TokenCache.search", msal()),
    ]


class Once:
    """An origin that is asked once."""

    def fetch(self) -> Fresh:
        """A token of a day."""
        return Fresh("opaque", timedelta(days=1))

    def outdated(self) -> bool:
        """It never is."""
        return False

    def reject(self, token: str) -> None:
        """Nobody does."""


class authlib:  # noqa: N801 (a benchmark's two ways side by side read alike)
    """What Authlib's session does before each request (`OAuth2Client.ensure_active_token`)."""

    def __init__(self) -> None:
        lives = {"access_token": "opaque", "expires_at": int(time.monotonic()) + 10**10}
        self.token = OAuth2Token(lives)

    def __call__(self) -> str:
        if self.token.is_expired(leeway=60):
            raise AssertionError
        return str(self.token["access_token"])


class msal:  # noqa: N801 (likewise)
    """What MSAL's client does before each request (`acquire_token_for_client`)."""

    def __init__(self) -> None:
        self.cache = TokenCache()
        event = {
            "client_id": CLIENT,
            "scope": SCOPES,
            "token_endpoint": "https://login.test/tenant/oauth/token",
            "response": {"access_token": "opaque", "expires_in": 86_400, "token_type": "Bearer"},
        }
        self.cache.add(event)
        self.query = {"client_id": CLIENT, "environment": "login.test", "realm": "tenant"}

    def __call__(self) -> str:
        kind = TokenCache.CredentialType.ACCESS_TOKEN
        (found,) = self.cache.search(kind, target=SCOPES, query=self.query)
        return str(found["secret"])
