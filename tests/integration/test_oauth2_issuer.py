"""The issuer `oauth2` against `oidc-provider`: real metadata, real proofs of identity."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from credmgr.errors import IssuerRefused, IssuerUnavailable, ScopeRefused, SecretRejected
from credmgr.issuers.oauth2 import OAuth2Issuer, OAuth2IssuerFactory, OAuth2Options
from credmgr.model.credential import Credential
from credmgr.model.secret import Secret
from credmgr.model.token import TokenRequest
from credmgr.plugins.issuer import Issuer
from credmgr.testing import ManualIssuerContract
from tests.integration.upstream import (
    RESOURCE,
    AuthorizationServer,
    Client,
    authorization_server,
    some_clients,
)
from tests.issuer_world import a_context, http_answer, raw_server

CLIENTS = [client.client_id for client in some_clients()]


@pytest.fixture(scope="module", params=["", "/tenant-a"], ids=["openid", "rfc8414"])
def server(request: pytest.FixtureRequest) -> Iterator[AuthorizationServer]:
    with authorization_server(request.param) as running:
        yield running


def opened(**options: Any) -> OAuth2Issuer:
    return OAuth2IssuerFactory().open(OAuth2Options(**options), a_context())


@pytest.fixture
def issuer(server: AuthorizationServer) -> Iterator[OAuth2Issuer]:
    session = opened(issuer=server.issuer)
    yield session
    session.close()


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, server: AuthorizationServer) -> Client:
    return server.clients[request.param]


class TestContract(ManualIssuerContract):
    """Whatever `client` proves itself with."""

    @pytest.fixture
    def issuer(self, server: AuthorizationServer, client: Client) -> Iterator[Issuer]:
        self.secret = client.secret
        session = opened(issuer=server.issuer, client_auth=client.method)
        yield session
        session.close()

    @pytest.fixture
    def credential(self, client: Client) -> Credential:
        return client.credential()

    def supply(self, issuer: Issuer, credential: Credential) -> Secret:
        del issuer, credential
        return self.secret

    def test_a_secret_with_one_character_changed_is_rejected(
        self, issuer: Issuer, credential: Credential
    ) -> None:
        """A key has a form around it, so the character is one of the middle there."""
        if not self.secret.reveal().startswith("-----"):
            super().test_a_secret_with_one_character_changed_is_rejected(issuer, credential)
            return
        text = self.secret.reveal()
        middle = len(text) // 2
        other = "A" if text[middle] != "A" else "B"
        with pytest.raises(SecretRejected):
            issuer.verify(credential, Secret(text[:middle] + other + text[middle + 1 :]))


def test_every_client_gets_a_token_in_the_way_that_fits_it(
    issuer: OAuth2Issuer, client: Client
) -> None:
    token = issuer.mint(client.credential(), client.secret, TokenRequest(frozenset({"cases:read"})))
    assert token.scopes == {"cases:read"}
    assert (token.expires_at - token.issued_at).total_seconds() == 900


def test_a_resource_makes_a_token_for_it(issuer: OAuth2Issuer, client: Client) -> None:
    request = TokenRequest(frozenset({"cases:read"}), RESOURCE)
    token = issuer.mint(client.credential(), client.secret, request)
    payload = token.value.reveal().split(".")[1]
    claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["aud"] == RESOURCE
    assert claims["scope"] == "cases:read"


def test_an_unknown_resource_is_refused(issuer: OAuth2Issuer, client: Client) -> None:
    with pytest.raises(IssuerRefused, match="invalid_target"):
        issuer.mint(client.credential(), client.secret, TokenRequest(audience="https://x.example"))


def test_a_wrong_secret_is_final(issuer: OAuth2Issuer, server: AuthorizationServer) -> None:
    others = {client.client_id: client.secret for client in some_clients() if client.public}
    for client in server.clients.values():
        other = others.get(client.client_id, Secret(client.secret.reveal() + "x"))
        with pytest.raises(SecretRejected) as caught:
            issuer.mint(client.credential(), other, TokenRequest())
        assert not caught.value.retryable


def test_an_unknown_client_is_rejected_as_a_wrong_secret_is(
    issuer: OAuth2Issuer, client: Client
) -> None:
    with pytest.raises(SecretRejected):
        issuer.mint(client.credential(client_id="nobody"), client.secret, TokenRequest())


def test_scopes_that_the_client_does_not_have_are_told(
    issuer: OAuth2Issuer, client: Client
) -> None:
    declared = client.credential(scopes=frozenset({"cases:read", "cases:write"}))
    with pytest.raises(ScopeRefused, match="invalid_scope"):
        issuer.verify(declared, client.secret)


def test_an_issuer_that_calls_itself_otherwise_is_not_trusted(server: AuthorizationServer) -> None:
    session = opened(issuer=server.issuer.replace("127.0.0.1", "localhost"))
    with pytest.raises(Exception, match="`issuer` is another one"):
        session.check()
    session.close()


def test_a_given_token_endpoint_is_enough(server: AuthorizationServer) -> None:
    session = opened(token_endpoint=server.token_endpoint, assertion_audience="token_endpoint")
    for client in server.clients.values():
        own = {"client_auth": client.method}
        credential = replace(client.credential(), options=own)
        assert session.verify(credential, client.secret).scopes == credential.scopes
    session.check()
    session.close()


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_busy_server_says_when_to_come_back(status: str) -> None:
    answer = http_answer("{}", "Retry-After: 7", status=status)
    with raw_server(answer) as busy:
        session = opened(token_endpoint=f"{busy.url}/token")
        with pytest.raises(IssuerUnavailable) as caught:
            session.mint(some_clients()[0].credential(), Secret("x"), TokenRequest())
        session.close()
    assert caught.value.retry_after is not None
    assert caught.value.retry_after.total_seconds() == 7
