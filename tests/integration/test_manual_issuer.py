"""The issuer `manual` against the real sandbox: real logins, and addresses that prove nothing."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from credmgr.errors import (
    InvalidAnswer,
    IssuerRefused,
    IssuerUnavailable,
    ScopeRefused,
    SecretRejected,
)
from credmgr.issuers.manual import ManualIssuer, ManualIssuerFactory, ManualOptions
from credmgr.model.credential import Kind
from credmgr.model.secret import Secret
from credmgr.model.token import TokenRequest
from credmgr.sandbox import SEEDED_CLIENT_ID, CredentialKind, Environment, RunningSandbox
from credmgr.sandbox.issued import Order
from tests.issuer_world import SCOPES, a_context, a_credential, http_answer, raw_server

OAUTH = a_credential(Kind.OAUTH_CLIENT, client_id=SEEDED_CLIENT_ID)
KEY = a_credential(Kind.API_KEY)
STEPS = ("Make {label}.",)


def opened(**options: Any) -> ManualIssuer:
    return ManualIssuerFactory().open(ManualOptions(**options), a_context())


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with RunningSandbox() as running:
        yield running


@pytest.fixture
def issuer(sandbox: RunningSandbox) -> Iterator[ManualIssuer]:
    session = opened(
        token_url=f"{sandbox.url}/oauth/token", probe_url=f"{sandbox.url}/v2/cases?status=open"
    )
    yield session
    session.close()


def test_a_pasted_client_secret_mints_tokens(sandbox: RunningSandbox, issuer: ManualIssuer) -> None:
    order = Order(kind=CredentialKind.OAUTH_CLIENT, credential=SEEDED_CLIENT_ID)
    _made, secret = sandbox.secrets.create(order)
    assert issuer.verify(OAUTH, secret).scopes == SCOPES
    assert issuer.mint(OAUTH, secret, TokenRequest(SCOPES)).scopes == SCOPES


def test_a_pasted_key_is_tried_where_it_must_be_known(
    sandbox: RunningSandbox, issuer: ManualIssuer
) -> None:
    for name, scope in (("narrow", "alerts:read"), ("right", "cases:read")):
        order = Order(
            kind=CredentialKind.API_KEY,
            credential=name,
            environment=Environment.SANDBOX,
            scopes=[scope],
        )
        _made, secret = sandbox.secrets.create(order)
        if name == "narrow":
            with pytest.raises(ScopeRefused):
                issuer.verify(KEY, secret)
    issuer.verify(KEY, secret)
    with pytest.raises(ScopeRefused, match="cf_live_"):
        issuer.verify(replace(KEY, options={"key_type": "live"}), secret)
    with pytest.raises(SecretRejected):
        issuer.verify(KEY, Secret("cf_sand_" + "x" * 40))


def test_another_dashboards_keys_have_any_prefix() -> None:
    with raw_server(http_answer("[]")) as server:
        session = opened(
            dashboard="other", create_steps=STEPS, revoke_steps=STEPS, probe_url=f"{server.url}/me"
        )
        assert session.verify(KEY, Secret("any")).scopes is None
        session.close()
    assert b"Authorization: Bearer any\r\n" in server.requests[0]


def test_disabling_is_refused(issuer: ManualIssuer) -> None:
    with pytest.raises(IssuerRefused):
        issuer.disable(KEY, "credmgr-1")


def test_without_an_address_nothing_can_be_proven() -> None:
    session = opened(dashboard="other", create_steps=STEPS, revoke_steps=STEPS)
    session.check()
    for credential in (OAUTH, KEY):
        with pytest.raises(IssuerRefused):
            session.verify(credential, Secret("any"))
    with pytest.raises(IssuerRefused):
        session.mint(OAUTH, Secret("any"), TokenRequest())
    session.close()


def test_a_login_page_proves_nothing() -> None:
    with raw_server(http_answer("<html>Sign in</html>", kind="text/html")) as server:
        session = opened(token_url=f"{server.url}/token", probe_url=server.url)
        with pytest.raises(InvalidAnswer):
            session.verify(KEY, Secret("cf_sand_1"))
        with pytest.raises(InvalidAnswer):
            session.verify(OAUTH, Secret("x"))
        with pytest.raises(InvalidAnswer):
            session.check()
        session.close()


def test_an_address_that_serves_anybody_is_found_out(sandbox: RunningSandbox) -> None:
    session = opened(token_url=f"{sandbox.url}/oauth/token", probe_url=f"{sandbox.url}/")
    with pytest.raises(InvalidAnswer, match="proves nothing"):
        session.check()
    session.close()


def test_a_dead_address_is_unavailable() -> None:
    session = opened(**dict.fromkeys(("token_url", "probe_url"), "http://localhost:1/"))
    for call in (session.check, lambda: session.verify(KEY, Secret("cf_sand_1"))):
        with pytest.raises(IssuerUnavailable):
            call()
    session.close()
