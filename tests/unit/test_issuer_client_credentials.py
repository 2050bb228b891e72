"""The client credentials grant: what is sent, and which answers become a token."""

import json
from base64 import b64decode, urlsafe_b64encode
from datetime import timedelta
from typing import Any

import pytest

from credmgr.errors import InvalidAnswer, IssuerRefused, ScopeRefused, SecretRejected
from credmgr.issuers.calls import Answer, Call
from credmgr.issuers.client_auth import Authentication, ClientAuth
from credmgr.issuers.client_credentials import LONGEST_LIFE, TokenEndpoint
from credmgr.issuers.http import Exchange
from credmgr.model.credential import Kind
from credmgr.model.secret import Secret
from credmgr.model.token import Token, TokenRequest
from credmgr.testing import FakeClock
from tests.issuer_world import SCOPES, a_credential

OAUTH = a_credential(Kind.OAUTH_CLIENT)
SECRET = Secret("s3cr:t%& +")
GOOD: dict[str, Any] = {
    "access_token": "eyJ.x",
    "token_type": "Bearer",
    "expires_in": 3600,
    "scope": "alerts:read cases:read",
}


def a_jwt(claims: object) -> str:
    raw = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJFUzI1NiJ9.{raw}.c2ln"


BOUND = a_jwt({"cnf": {"x5t#S256": "x"}})


class Scripted(Exchange):
    """Answers every call with one body, a minute later by the clock."""

    def __init__(self, clock: FakeClock, body: object) -> None:
        self.clock = clock
        self.body = body
        self.calls: list[Call] = []

    def send(self, call: Call) -> Answer:
        self.calls.append(call)
        self.clock.advance(timedelta(minutes=1))
        return Answer(call, 200, self.body)


def an_endpoint(body: object, auth: ClientAuth = ClientAuth.POST) -> tuple[TokenEndpoint, Scripted]:
    clock = FakeClock()
    exchange = Scripted(clock, body)
    endpoint = TokenEndpoint(
        exchange, clock, "https://a.example", "/oauth/token", auth=Authentication(auth)
    )
    return endpoint, exchange


def minted(body: object, scopes: frozenset[str] = SCOPES) -> Token:
    return an_endpoint(body)[0].mint(OAUTH, SECRET, TokenRequest(scopes))


def test_a_token_is_asked_for_in_the_form() -> None:
    endpoint, exchange = an_endpoint(GOOD)
    endpoint.mint(OAUTH, SECRET, TokenRequest(SCOPES))
    (call,) = exchange.calls
    assert call.form == {
        "grant_type": "client_credentials",
        "client_id": "app_8v3k9m",
        "client_secret": SECRET,
        "scope": "alerts:read cases:read",
    }
    assert call.basic is None


def test_basic_encodes_both_halves_first() -> None:
    endpoint, exchange = an_endpoint(GOOD, ClientAuth.BASIC)
    endpoint.mint(OAUTH, SECRET, TokenRequest())
    (call,) = exchange.calls
    assert call.form == {"grant_type": "client_credentials"}
    assert call.basic is not None
    assert b64decode(call.basic.reveal()) == b"app_8v3k9m:s3cr%3At%25%26+%2B"


@pytest.mark.parametrize("auth", [ClientAuth.BASIC, ClientAuth.POST])
@pytest.mark.parametrize("text", ["pasted\n", "\N{NO-BREAK SPACE}", "ü", "\x7f", "a\x00"])
def test_what_no_client_secret_can_hold_is_rejected_unsent(auth: ClientAuth, text: str) -> None:
    endpoint, exchange = an_endpoint(GOOD, auth)
    with pytest.raises(SecretRejected):
        endpoint.mint(OAUTH, Secret(text), TokenRequest())
    assert not exchange.calls


def test_the_life_of_a_token_begins_before_it_was_asked_for() -> None:
    endpoint, exchange = an_endpoint(GOOD)
    token = endpoint.mint(OAUTH, SECRET, TokenRequest(SCOPES))
    assert token.expires_at == exchange.clock.now() + timedelta(minutes=59)
    assert token.issued_at == exchange.clock.now() - timedelta(minutes=1)


@pytest.mark.parametrize(
    ("expires_in", "life"),
    [
        (1, timedelta(seconds=1)),
        ("3600", timedelta(hours=1)),
        (10**18, LONGEST_LIFE),
        (10**40, LONGEST_LIFE),
    ],
)
def test_a_life_is_a_number_of_seconds_and_clamped(expires_in: object, life: timedelta) -> None:
    token = minted({**GOOD, "expires_in": expires_in})
    assert token.expires_at - token.issued_at == life


@pytest.mark.parametrize(
    "wrong",
    [
        {"expires_in": None},
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": 3600.5},
        {"expires_in": True},
        {"expires_in": "0"},
        {"expires_in": "3600s"},
        {"expires_in": "٣"},
        {"expires_in": "9" * 5000},
        {"token_type": None},
        {"token_type": "DPoP"},
        {"token_type": "mac"},
        {"access_token": None},
        {"access_token": ""},
        {"access_token": "a b"},
        {"access_token": "a\r\nb"},
        {"access_token": "é"},
        {"access_token": ["eyJ"]},
        {"cnf": {"jkt": "x"}},
        {"access_token": BOUND},
        {"scope": ["cases:read"]},
        {"scope": 'cases:"read"'},
        {"scope": "cases:read cases:write alerts:read"},
    ],
    ids=repr,
)
def test_a_token_that_cannot_be_used_safely_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        minted({**GOOD, **wrong})
    assert "eyJ" not in str(caught.value)


@pytest.mark.parametrize(
    "token",
    [a_jwt({"sub": "app"}), a_jwt({"cnf": None}), a_jwt(["cnf"]), "eyJ.!!!!.x", "a.b.c", "a.YQ.c"],
)
def test_a_token_that_any_holder_may_use_is_taken_whatever_it_looks_like(token: str) -> None:
    assert minted({**GOOD, "access_token": token}).value == Secret(token)


def test_fewer_scopes_than_asked_for_are_told() -> None:
    assert minted({**GOOD, "scope": "cases:read"}).scopes == {"cases:read"}


def test_scopes_left_out_are_those_asked_for() -> None:
    body = {name: value for name, value in GOOD.items() if name != "scope"}
    assert minted(body).scopes == SCOPES


def test_whoever_asks_for_nothing_gets_what_the_issuer_gives() -> None:
    assert minted(GOOD, frozenset()).scopes == SCOPES


@pytest.mark.parametrize("kind", ["bearer", "BEARER"])
def test_the_token_type_has_no_case(kind: str) -> None:
    assert minted({**GOOD, "token_type": kind}).token_type == "Bearer"  # noqa: S105


def test_verifying_demands_the_declared_scopes_exactly() -> None:
    assert an_endpoint(GOOD)[0].verify(OAUTH, SECRET) == SCOPES
    for scope in ("cases:read", "cases:read alerts:read cases:write"):
        with pytest.raises(ScopeRefused):
            an_endpoint({**GOOD, "scope": scope})[0].verify(OAUTH, SECRET)


def test_verifying_without_declared_scopes_takes_what_comes() -> None:
    credential = a_credential(Kind.OAUTH_CLIENT, scopes=frozenset())
    assert an_endpoint(GOOD)[0].verify(credential, SECRET) == SCOPES


@pytest.mark.parametrize(
    ("credential", "request_"),
    [
        (a_credential(Kind.API_KEY), TokenRequest()),
        (a_credential(Kind.OAUTH_CLIENT, client_id=None), TokenRequest()),
        (OAUTH, TokenRequest(audience="https://api.example")),
    ],
)
def test_what_cannot_be_exchanged_is_refused_unsent(credential: Any, request_: Any) -> None:
    endpoint, exchange = an_endpoint(GOOD)
    with pytest.raises(IssuerRefused):
        endpoint.mint(credential, SECRET, request_)
    assert not exchange.calls


def test_an_endpoint_that_serves_anybody_is_found_out() -> None:
    with pytest.raises(InvalidAnswer):
        an_endpoint(GOOD)[0].check()
