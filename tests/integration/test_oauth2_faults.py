"""The issuer `oauth2` before a server that fails: told in our words, and well afterwards."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final

import pytest

from credmgr.errors import InvalidAnswer, IssuerError, IssuerUnavailable
from credmgr.issuers.oauth2 import OAuth2Issuer, OAuth2IssuerFactory, OAuth2Options
from credmgr.model.credential import Kind
from credmgr.model.secret import Secret
from credmgr.model.token import TokenRequest
from credmgr.testing.canaries import everything_in
from tests.issuer_world import (
    SCOPES,
    Conversation,
    RawServer,
    a_context,
    a_credential,
    http_answer,
    raw_server,
)

SECRET: Final = Secret("canary-3b9c1f-secret")
OAUTH: Final = a_credential(Kind.OAUTH_CLIENT)
SHORT: Final = timedelta(seconds=0.6)
TOKEN: Final = {"access_token": "t", "token_type": "Bearer", "expires_in": 60}
METADATA: Final = "/.well-known/oauth-authorization-server"
Fault = Callable[[Conversation], None]


class Flawed:
    """A sound authorization server, but for one thing that goes wrong at one place."""

    def __init__(self, place: str, fault: Fault) -> None:
        self.place = place
        self.fault: Fault | None = fault
        self.url = ""

    def __call__(self, conversation: Conversation) -> None:
        path = conversation.request.split(b" ")[1].decode()
        if self.fault is not None and path == self.place:
            self.fault(conversation)
            return
        metadata: dict[str, Any] = {"issuer": self.url, "token_endpoint": f"{self.url}/token"}
        answers = {METADATA: metadata, "/token": TOKEN}
        found = answers.get(path)
        missing = http_answer("{}", status="404 Not Found")
        conversation.send(missing if found is None else http_answer(json.dumps(found)))


def half(conversation: Conversation) -> None:
    conversation.send(http_answer(json.dumps(TOKEN), length=5000))


def drip(conversation: Conversation) -> None:
    conversation.drip(http_answer(json.dumps(TOKEN)), 0.05)


def answering(body: str, *headers: str, **more: Any) -> Fault:
    return lambda conversation: conversation.send(http_answer(body, *headers, **more))


FAULTS: Final[dict[str, tuple[Fault, type[IssuerError]]]] = {
    "hangs": (Conversation.hang, IssuerUnavailable),
    "drips": (drip, IssuerUnavailable),
    "cut short": (half, IssuerUnavailable),
    "reset": (Conversation.reset, IssuerUnavailable),
    "closes without a word": (lambda _conversation: None, IssuerUnavailable),
    "garbage": (lambda conversation: conversation.send(b"\x00\xff" * 99), IssuerUnavailable),
    "500": (answering("{}", status="500 Oh"), IssuerUnavailable),
    "502 as a page": (
        answering("<h1>", status="502 Bad Gateway", kind="text/html"),
        IssuerUnavailable,
    ),
    "too long": (answering('{"a": "' + "x" * (1 << 21) + '"}'), InvalidAnswer),
    "a web page": (answering("<h1>Sign in</h1>", kind="text/html"), InvalidAnswer),
    "cut JSON": (answering('{"access_token": "canary-3b9c1f'), InvalidAnswer),
    "twice the same key": (
        answering('{"access_token": "a", "access_token": "b", "expires_in": 1}'),
        InvalidAnswer,
    ),
    "a list": (answering("[]"), InvalidAnswer),
    "a redirect": (
        answering("{}", "Location: http://localhost:1/", status="307 Temporary Redirect"),
        InvalidAnswer,
    ),
}


@pytest.fixture(params=[METADATA, "/token"], ids=["metadata", "token"])
def place(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def opened(server: RawServer, behaviour: Flawed) -> OAuth2Issuer:
    behaviour.url = server.url
    return OAuth2IssuerFactory().open(OAuth2Options(server.url), a_context(deadline=SHORT))


@pytest.fixture(params=list(FAULTS))
def flawed(
    request: pytest.FixtureRequest, place: str
) -> Iterator[tuple[OAuth2Issuer, Flawed, type[IssuerError]]]:
    fault, error = FAULTS[request.param]
    behaviour = Flawed(place, fault)
    with raw_server(behaviour) as server:
        session = opened(server, behaviour)
        yield session, behaviour, error
        session.close()


def test_a_fault_is_told_and_forgotten_when_it_is_over(
    flawed: tuple[OAuth2Issuer, Flawed, type[IssuerError]],
) -> None:
    session, behaviour, error = flawed
    with pytest.raises(error) as caught:
        session.mint(OAUTH, SECRET, TokenRequest(SCOPES))
    assert "canary-3b9c1f" not in everything_in(caught.value)
    behaviour.fault = None
    assert session.mint(OAUTH, SECRET, TokenRequest(SCOPES)).value == Secret("t")


@pytest.mark.parametrize("status", ["429 Too Many", "503 Busy", "408 Slow"])
@pytest.mark.parametrize(
    ("header", "wait"),
    [("5", 5.0), ("999999", 3600.0), ("-5", None), ("soon", None), ("", None), ("1e3", None)],
)
def test_a_busy_server_is_left_alone_as_long_as_it_says_and_at_most_an_hour(
    place: str, status: str, header: str, wait: float | None
) -> None:
    fault = answering("{}", f"Retry-After: {header}", status=status)
    behaviour = Flawed(place, fault)
    with raw_server(behaviour) as server:
        session = opened(server, behaviour)
        with pytest.raises(IssuerUnavailable) as caught:
            session.mint(OAUTH, SECRET, TokenRequest(SCOPES))
        session.close()
    found = caught.value.retry_after
    assert (found.total_seconds() if found else None) == wait
