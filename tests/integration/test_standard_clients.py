"""OAuth clients that nobody here wrote get tokens, and learn of refusals, as the standards say."""

import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from typing import Any, Final

import pytest

from credmgr.sandbox import SEEDED_CLIENT_ID, CredentialKind, RunningSandbox
from credmgr.sandbox.issued import Order
from tests.integration.oauth_clients import (
    LIBRARIES,
    METHODS,
    OAuthClient,
    Refused,
    oauth_clients,
)
from tests.integration.token_world import UPSTREAMS, Endpoint, TokenWorld, token_world
from tests.integration.upstream import RESOURCE

INSECURE: Final = "OAUTHLIB_INSECURE_TRANSPORT"
"""oauthlib refuses plain http, on loopback as well, unless this is set."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Endpoint]:
    with RunningSandbox() as running:
        order = Order(kind=CredentialKind.OAUTH_CLIENT, credential=SEEDED_CLIENT_ID)
        _made, secret = running.secrets.create(order)
        yield Endpoint(f"{running.url}/oauth/token", SEEDED_CLIENT_ID, secret)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenWorld]:
    with token_world(tmp_path_factory.mktemp("tokens")) as running:
        yield running


@pytest.fixture(params=["the sandbox", *UPSTREAMS])
def endpoint(request: pytest.FixtureRequest, sandbox: Endpoint, world: TokenWorld) -> Endpoint:
    """The sandbox itself, and credmgr before each of its upstreams."""
    return sandbox if request.param == "the sandbox" else world.endpoint(request.param)


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


@pytest.mark.parametrize("parameter", ["audience", "resource"])
@pytest.mark.parametrize("name", UPSTREAMS)
def test_audience_and_resource_choose_the_credential(
    client: OAuthClient, method: str, world: TokenWorld, parameter: str, name: str
) -> None:
    wish = world.endpoint("everything").wish(method, **{parameter: name})
    assert client(wish)["access_token"] == client(world.endpoint(name).wish(method))["access_token"]


def test_without_a_choice_the_target_is_invalid(
    client: OAuthClient, method: str, world: TokenWorld
) -> None:
    with pytest.raises(Refused, match="invalid_target"):
        client(world.endpoint("everything").wish(method, scope="cases:read"))


def test_an_audience_that_the_upstream_knows_is_passed_on(
    client: OAuthClient, method: str, world: TokenWorld
) -> None:
    token = client(world.endpoint("partner/assertion").wish(method, resource=RESOURCE))
    assert claims(token["access_token"])["aud"] == RESOURCE


def test_a_token_is_minted_once_for_all_of_them(
    client: OAuthClient, method: str, world: TokenWorld
) -> None:
    endpoint = world.endpoint("partner/header")
    first = client(endpoint.wish(method, scope="cases:read"))
    assert (
        client(endpoint.wish(method, scope="cases:read"))["access_token"] == first["access_token"]
    )


def test_a_consumer_that_may_have_no_token_gets_none(
    client: OAuthClient, method: str, world: TokenWorld
) -> None:
    with pytest.raises(Refused, match="invalid_target"):
        client(world.endpoint("reader").wish(method, scope="cases:read"))


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    return dict(json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
