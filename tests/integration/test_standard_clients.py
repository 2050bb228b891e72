"""OAuth clients that nobody here wrote get tokens, and learn of refusals, as the standards say."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from credmgr.model.secret import Secret
from credmgr.sandbox import SEEDED_CLIENT_ID, CredentialKind, RunningSandbox
from credmgr.sandbox.issued import Order
from tests.integration.oauth_clients import (
    LIBRARIES,
    METHODS,
    OAuthClient,
    Refused,
    Wish,
    oauth_clients,
)

INSECURE: Final = "OAUTHLIB_INSECURE_TRANSPORT"
"""oauthlib refuses plain http, on loopback as well, unless this is set."""


@dataclass(frozen=True)
class Endpoint:
    """A token endpoint, and a client of it."""

    url: str
    client_id: str
    secret: Secret

    def wish(self, method: str, *, secret: str | None = None, **params: str) -> Wish:
        value = self.secret.reveal() if secret is None else secret
        return Wish(self.url, self.client_id, value, method, params)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with RunningSandbox() as sandbox:
        order = Order(kind=CredentialKind.OAUTH_CLIENT, credential=SEEDED_CLIENT_ID)
        _made, secret = sandbox.secrets.create(order)
        yield Endpoint(f"{sandbox.url}/oauth/token", SEEDED_CLIENT_ID, secret)


@pytest.fixture(scope="module")
def clients() -> Iterator[dict[str, OAuthClient]]:
    with oauth_clients() as found:
        yield found


@pytest.fixture(params=LIBRARIES)
def client(
    request: pytest.FixtureRequest,
    clients: dict[str, OAuthClient],
    monkeypatch: pytest.MonkeyPatch,
) -> OAuthClient:
    monkeypatch.setitem(os.environ, INSECURE, "1")
    return clients[request.param]


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def test_a_token_comes_with_its_type_life_and_scopes(
    client: OAuthClient, method: str, endpoint: Endpoint
) -> None:
    token = client(endpoint.wish(method, scope="cases:read"))
    assert token["access_token"]
    assert str(token["token_type"]).lower() == "bearer"
    assert 0 < token["expires_in"] <= 3600
    scope = token["scope"]
    assert (scope if isinstance(scope, str) else " ".join(scope)) == "cases:read"


def test_a_wrong_secret_is_an_invalid_client(
    client: OAuthClient, method: str, endpoint: Endpoint
) -> None:
    with pytest.raises(Refused, match="invalid_client"):
        client(endpoint.wish(method, secret="wrong", scope="cases:read"))  # noqa: S106


def test_a_scope_that_the_client_may_not_have_is_an_invalid_scope(
    client: OAuthClient, method: str, endpoint: Endpoint
) -> None:
    with pytest.raises(Refused, match="invalid_scope"):
        client(endpoint.wish(method, scope="cases:read everything:write"))
