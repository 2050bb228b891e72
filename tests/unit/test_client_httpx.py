"""`CredmgrAuth`: a token on every request, and one more try after a 401."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

import credmgr.client
from credmgr.client import CredmgrAuth, Fresh, TokenSource

URL = "http://api.test/v2/cases"


class Counted:
    """An origin that gives t1, t2, t3 …"""

    def __init__(self) -> None:
        self.made = 0
        self.told: list[str] = []

    def fetch(self) -> Fresh:
        self.made += 1
        return Fresh(f"t{self.made}", timedelta(hours=1))

    def outdated(self) -> bool:
        return False

    def reject(self, token: str) -> None:
        self.told.append(token)


class Api:
    """An API that refuses some tokens."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.seen: list[tuple[str, bytes]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        self.seen.append((token, request.read()))
        return httpx.Response(401 if token in self.refused else 200)


@pytest.fixture
def origin() -> Counted:
    return Counted()


def call(api: Api, origin: Counted, *, content: object = b"body") -> int:
    auth = CredmgrAuth(TokenSource(origin))
    with httpx.Client(transport=httpx.MockTransport(api), auth=auth) as client:
        return client.post(URL, content=content).status_code  # type: ignore[arg-type]


def test_a_request_carries_the_token(origin: Counted) -> None:
    api = Api()
    assert call(api, origin) == 200
    assert api.seen == [("t1", b"body")]


def test_a_refused_token_is_reported_and_the_request_sent_once_more(origin: Counted) -> None:
    api = Api("t1")
    assert call(api, origin) == 200
    assert api.seen == [("t1", b"body"), ("t2", b"body")]
    assert origin.told == ["t1"]


def test_it_is_sent_twice_at_most(origin: Counted) -> None:
    api = Api("t1", "t2", "t3")
    assert call(api, origin) == 401
    assert [token for token, _ in api.seen] == ["t1", "t2"]


def test_a_stream_is_not_sent_twice(origin: Counted) -> None:
    def parts() -> Iterator[bytes]:
        yield b"part"

    api = Api("t1")
    assert call(api, origin, content=parts()) == 401
    assert [token for token, _ in api.seen] == ["t1"]


def test_the_same_holds_where_nothing_may_block(origin: Counted) -> None:
    api = Api("t1")

    async def calls() -> list[int]:
        auth = CredmgrAuth(TokenSource(origin))
        async with httpx.AsyncClient(transport=httpx.MockTransport(api), auth=auth) as client:
            return [(await client.post(URL, content=b"body")).status_code for _ in range(2)]

    assert asyncio.run(calls()) == [200, 200]
    assert [token for token, _ in api.seen] == ["t1", "t2", "t2"]


def test_it_takes_a_credentials_name_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDMGR_SOCKET", "/nowhere.sock")
    assert isinstance(CredmgrAuth("caseforge/client-secret", scopes=["cases:read"]), httpx.Auth)


def test_the_package_has_nothing_else_by_surprise() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(credmgr.client, "nothing")  # noqa: B009 (so that no type checker sees it)
