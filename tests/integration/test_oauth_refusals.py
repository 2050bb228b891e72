"""What `POST /oauth/token` refuses, in the words and headers of RFC 6749 §5.2."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

import pytest

from tests.integration.token_world import Endpoint, TokenWorld, token_world

FORM: Final = "application/x-www-form-urlencoded"
GRANT: Final = {"grant_type": "client_credentials"}
DESCRIBED: Final = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.body["error"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenWorld]:
    with token_world(tmp_path_factory.mktemp("refusals")) as running:
        yield running


@pytest.fixture
def endpoint(world: TokenWorld) -> Endpoint:
    return world.endpoint("caseforge/reporting")


def basic(client_id: str, secret: str) -> dict[str, str]:
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def good(endpoint: Endpoint) -> dict[str, str]:
    return basic(endpoint.client_id, endpoint.secret.reveal())


def ask(
    endpoint: Endpoint, body: Mapping[str, str] | str, *, method: str = "POST", **headers: str
) -> Answer:
    parts = urlsplit(endpoint.url)
    text = body if isinstance(body, str) else urlencode(body)
    sent = {
        "Content-Type": FORM,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    connection = HTTPConnection(parts.netloc, timeout=20)
    try:
        connection.request(method, parts.path, text, sent)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, json.loads(answer.read()))
    finally:
        connection.close()


def assert_as_the_rfc_says(answer: Answer) -> None:
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert set(answer.body) <= {"error", "error_description", "error_uri"}
    assert DESCRIBED.fullmatch(answer.body["error_description"])
    assert "www-authenticate" not in answer.headers or answer.status == 401


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "invalid_request"),
        ({"scope": "cases:read"}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        ("grant_type=client_credentials&scope=cases:read&scope=alerts:read", "invalid_request"),
        ("grant_type=client_credentials&scope=%ff", "invalid_request"),
        ("grant_type=client_credentials&scope=\u00e9", "invalid_request"),
        ({"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code", "code": "x"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "unsupported_grant_type"),
        ({"grant_type": "CLIENT_CREDENTIALS"}, "unsupported_grant_type"),
        ({**GRANT, "scope": "cases:write"}, "invalid_scope"),
        ({**GRANT, "scope": "cases:read cases:write"}, "invalid_scope"),
        ({**GRANT, "scope": 'cases:"read"'}, "invalid_scope"),
        ({**GRANT, "scope": " cases:read"}, "invalid_scope"),
        ({**GRANT, "scope": "cases:read  alerts:read"}, "invalid_scope"),
        ({**GRANT, "scope": "cases:read\nalerts:read"}, "invalid_scope"),
        ({**GRANT, "audience": "a", "resource": "b"}, "invalid_target"),
    ],
    ids=repr,
)
def test_a_request_that_cannot_be_served_says_why(
    endpoint: Endpoint, body: Mapping[str, str] | str, error: str
) -> None:
    text = body.encode().decode("latin-1") if isinstance(body, str) else body
    answer = ask(endpoint, text, **good(endpoint))
    assert answer.error == (400, error)
    assert_as_the_rfc_says(answer)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "text/plain", ""])
def test_another_media_type_is_an_invalid_request(endpoint: Endpoint, kind: str) -> None:
    answer = ask(endpoint, GRANT, Content_Type=kind, **good(endpoint))
    assert answer.error == (400, "invalid_request")
    assert_as_the_rfc_says(answer)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + b64encode(b"no colon").decode()},
        {"Authorization": "Basic " + b64encode(b"\xff:\xff").decode()},
        {"Authorization": "Basic " + b64encode(b"%ff:%ff").decode()},
        {"Authorization": "Digest username=a"},
        basic("caseforge/reporting", "wrong"),
        basic("caseforge/reporting", ""),
        basic("nobody", "wrong"),
        basic("", ""),
    ],
    ids=repr,
)
def test_a_client_that_does_not_prove_itself_is_told_how(
    endpoint: Endpoint, headers: dict[str, str]
) -> None:
    answer = ask(endpoint, GRANT, **headers)
    assert answer.error == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert_as_the_rfc_says(answer)


def test_the_form_proves_as_little(endpoint: Endpoint) -> None:
    for proof in (
        {"client_id": endpoint.client_id},
        {"client_id": endpoint.client_id, "client_secret": "wrong"},
        {"client_id": "nobody", "client_secret": endpoint.secret.reveal()},
        {"client_secret": endpoint.secret.reveal()},
    ):
        answer = ask(endpoint, {**GRANT, **proof})
        assert answer.error == (401, "invalid_client")
        assert_as_the_rfc_says(answer)


def test_the_name_of_another_consumer_does_not_fit_the_bearer(
    endpoint: Endpoint, world: TokenWorld
) -> None:
    other = world.endpoint("partner/form")
    answer = ask(endpoint, GRANT, **basic(other.client_id, endpoint.secret.reveal()))
    assert answer.error == (401, "invalid_client")


def test_two_proofs_at_once_are_an_invalid_request(endpoint: Endpoint) -> None:
    body = {**GRANT, "client_id": endpoint.client_id, "client_secret": endpoint.secret.reveal()}
    answer = ask(endpoint, body, **good(endpoint))
    assert answer.error == (400, "invalid_request")
    assert_as_the_rfc_says(answer)


def test_a_client_id_beside_the_header_has_to_be_the_same(endpoint: Endpoint) -> None:
    assert ask(endpoint, {**GRANT, "client_id": endpoint.client_id}, **good(endpoint)).status == 200
    answer = ask(endpoint, {**GRANT, "client_id": "partner/form"}, **good(endpoint))
    assert answer.error == (401, "invalid_client")


@pytest.mark.parametrize(
    "more",
    [
        {"scope": ""},
        {"audience": ""},
        {"resource": "", "client_secret": ""},
        {"nobody_knows": "this"},
        {"scope": "cases:read alerts:read"},
        {"scope": "cases:read cases:read"},
    ],
    ids=repr,
)
def test_empty_and_unknown_parameters_count_as_left_out(
    endpoint: Endpoint, more: dict[str, str]
) -> None:
    answer = ask(endpoint, {**GRANT, **more}, **good(endpoint))
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert answer.body["token_type"] == "Bearer"  # noqa: S105
    assert answer.body["expires_in"] > 0


@pytest.mark.parametrize("scheme", ["basic", "BASIC", "Basic"])
def test_the_scheme_has_no_case_and_the_media_type_may_have_a_charset(
    endpoint: Endpoint, scheme: str
) -> None:
    value = good(endpoint)["Authorization"].replace("Basic", scheme)
    answer = ask(endpoint, GRANT, Authorization=value, Content_Type=f"{FORM}; charset=UTF-8")
    assert answer.status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post_is_served(endpoint: Endpoint, method: str) -> None:
    answer = ask(endpoint, "", method=method, **good(endpoint))
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


def test_what_the_client_sent_is_not_repeated(endpoint: Endpoint) -> None:
    canary = "canary-9d1e77"
    for body in ({"grant_type": canary}, {**GRANT, "scope": canary}, {**GRANT, canary: canary}):
        answer = ask(endpoint, body, **basic(canary, canary))
        assert canary not in json.dumps(answer.body)
        answer = ask(endpoint, body, **good(endpoint))
        assert canary not in json.dumps({**answer.body, "access_token": ""})
