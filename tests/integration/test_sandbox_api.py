"""The API under /v2: every scope's routes, with the scope, without it, and with no valid bearer."""

import http.client
from collections.abc import Iterator
from typing import Any

import pytest

from credmgr.sandbox import ALL_SCOPES, EntryKind
from tests.sandbox_box import Box, running_box, seconds

# One working request for each route: scope, method, path, body, status.
REQUESTS: tuple[tuple[str, str, str, dict[str, Any] | None, int], ...] = (
    ("cases:read", "GET", "/cases", None, 200),
    ("cases:read", "GET", "/cases/case_204101", None, 200),
    ("cases:read", "GET", "/cases/case_204101/history", None, 200),
    ("cases:write", "POST", "/cases", {"title": "New", "subject_id": "subj_101"}, 201),
    ("cases:write", "PATCH", "/cases/case_204101", {"priority": "low"}, 200),
    ("cases:write", "POST", "/cases/case_204101/assign", {"assignee": "m.osei"}, 200),
    ("cases:write", "POST", "/cases/case_204101/close", {"resolution": "no_action"}, 200),
    ("sar:read", "GET", "/sars", None, 200),
    ("sar:read", "GET", "/sars/sar_7701", None, 200),
    ("sar:write", "POST", "/sars", {"case_id": "case_204101", "narrative": "Why."}, 201),
    ("sar:write", "POST", "/sars/sar_7702/submit", None, 200),
    ("watchlist:read", "GET", "/watchlist", None, 200),
    ("watchlist:read", "GET", "/watchlist/wl_501", None, 200),
    ("watchlist:read", "POST", "/watchlist/screenings", {"name": "Viktor Drago"}, 200),
    ("watchlist:write", "POST", "/watchlist", {"name": "Somebody", "country": "FR"}, 201),
    ("watchlist:write", "PATCH", "/watchlist/wl_501", {"reason": "lifted"}, 200),
    ("watchlist:write", "DELETE", "/watchlist/wl_501", None, 204),
    ("transactions:read", "GET", "/transactions", None, 200),
    ("transactions:read", "GET", "/transactions/txn_90001", None, 200),
    ("transactions:read", "POST", "/transactions/search", {"least_amount": 9000}, 200),
    ("subjects:read", "GET", "/subjects", None, 200),
    ("subjects:read", "GET", "/subjects/subj_101", None, 200),
    ("subjects:read", "GET", "/subjects/subj_101/risk", None, 200),
    (
        "subjects:write",
        "POST",
        "/subjects",
        {"name": "Somebody", "kind": "person", "country": "FR"},
        201,
    ),
    ("subjects:write", "PATCH", "/subjects/subj_101", {"risk_score": 3}, 200),
    ("alerts:read", "GET", "/alerts", None, 200),
    ("alerts:read", "GET", "/alerts/alrt_3001", None, 200),
)
NAMES = [f"{method} {path}" for _, method, path, _, _ in REQUESTS]


@pytest.fixture
def box() -> Iterator[Box]:
    with running_box() as box:
        yield box


def v2(box: Box, bearer: str, method: str, path: str, body: object = None) -> Any:
    sent: dict[str, Any] = {} if body is None else {"json": body}
    return box.call(method, f"/v2{path}", bearer=bearer, **sent)


def test_every_scope_has_a_route() -> None:
    assert {scope for scope, *_ in REQUESTS} == set(ALL_SCOPES)


def test_every_route_is_tried(box: Box) -> None:
    routes = box.call("GET", "/").json()["api"]

    assert len(routes) == len(REQUESTS)


@pytest.mark.parametrize(("scope", "method", "path", "body", "status"), REQUESTS, ids=NAMES)
def test_a_route_serves_a_token_with_its_scope(
    box: Box, scope: str, method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    answer = v2(box, box.token(scope=scope), method, path, body)

    assert answer.status == status, answer.data
    assert (answer.data == b"") == (status == 204)
    entry = box.sandbox.log.entries()[-1]
    assert (entry.kind, entry.outcome) == (EntryKind.API_ACCEPTED, "ok")


@pytest.mark.parametrize(("scope", "method", "path", "body", "status"), REQUESTS, ids=NAMES)
def test_a_route_refuses_a_token_without_its_scope(
    box: Box, scope: str, method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    others = " ".join(other for other in ALL_SCOPES if other != scope)

    answer = v2(box, box.token(scope=others), method, path, body)

    assert status < 300
    assert (answer.status, answer.json()["error"]) == (403, "insufficient_scope")
    assert answer.json()["scope"] == scope
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith("Bearer ")
    assert 'error="insufficient_scope"' in challenge
    assert f'scope="{scope}"' in challenge
    entry = box.sandbox.log.entries()[-1]
    assert (entry.kind, entry.outcome) == (EntryKind.API_DENIED, "insufficient_scope")


def test_an_api_key_has_all_scopes_unless_told_otherwise(box: Box) -> None:
    assert box.key()["scopes"] == list(ALL_SCOPES)
    narrow = box.key("narrow", scopes=["alerts:read"])["value"]

    assert v2(box, narrow, "GET", "/alerts").status == 200
    assert v2(box, narrow, "GET", "/cases").status == 403


def test_without_a_bearer_the_challenge_has_no_error_code(box: Box) -> None:
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer "}):
        answer = box.call("GET", "/v2/cases", headers=headers)
        assert (answer.status, answer.json()["error"]) == (401, "missing_token")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="CaseForge sandbox"'


def test_two_authorization_headers_are_a_bad_request(box: Box) -> None:
    connection = http.client.HTTPConnection(box.sandbox.url.removeprefix("http://"))
    connection.putrequest("GET", "/v2/cases")
    for _ in range(2):
        connection.putheader("Authorization", "Bearer x")
    connection.endheaders()

    assert connection.getresponse().status == 400
    connection.close()


@pytest.mark.parametrize("bearer", ["nonsense", "a.b.c", "cf_live_unknown", "cf_sand_unknown"])
def test_an_unknown_bearer_is_an_invalid_token(box: Box, bearer: str) -> None:
    answer = v2(box, bearer, "GET", "/cases")

    assert (answer.status, answer.json()["error"]) == (401, "invalid_token")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    entry = box.sandbox.log.entries()[-1]
    assert (entry.kind, entry.who) == (EntryKind.API_REFUSED, None)


def test_a_client_secret_is_no_bearer(box: Box) -> None:
    assert v2(box, box.secret()["value"], "GET", "/cases").status == 401


def test_a_token_with_another_signature_is_an_invalid_token(box: Box) -> None:
    header, payload, signature = box.token().split(".")
    forged = f"{header}.{payload}.{signature[:-10]}AAAAAAAAAA"

    assert v2(box, forged, "GET", "/cases").status == 401


def test_a_token_is_valid_until_the_second_it_expires(box: Box) -> None:
    token = box.token()
    box.clock.advance(seconds(3599.999))
    assert v2(box, token, "GET", "/cases").status == 200

    box.clock.advance(seconds(0.001))

    answer = v2(box, token, "GET", "/cases")
    assert answer.status == 401
    assert "expired" in answer.json()["error_description"]
    entry = box.sandbox.log.entries()[-1]
    assert entry.kind is EntryKind.API_REFUSED
    assert entry.who is not None
    assert entry.who.secret_id is not None


def test_a_disabled_or_revoked_key_is_an_invalid_token(box: Box) -> None:
    key = box.key(label="old")

    box.manage("POST", f"/keys/{key['id']}/disable")
    disabled = v2(box, key["value"], "GET", "/cases")
    box.manage("DELETE", f"/keys/{key['id']}")
    revoked = v2(box, key["value"], "GET", "/cases")

    assert (disabled.status, revoked.status) == (401, 401)
    assert "disabled" in disabled.json()["error_description"]
    assert "revoked" in revoked.json()["error_description"]
    entry = box.sandbox.log.entries()[-1]
    assert entry.who is not None
    assert (entry.who.secret_id, entry.who.label) == (key["id"], "old")


def test_sandbox_keys_see_only_sandbox_data(box: Box) -> None:
    sandbox = box.key("test", environment="sandbox")["value"]
    live = box.key("prod")["value"]
    assert sandbox.startswith("cf_sand_")
    assert live.startswith("cf_live_")

    for path in ("/cases", "/sars", "/watchlist", "/transactions", "/subjects", "/alerts"):
        tested = {item["id"] for item in v2(box, sandbox, "GET", path).json()["items"]}
        lived = {item["id"] for item in v2(box, live, "GET", path).json()["items"]}
        assert tested
        assert all("_test_" in one for one in tested)
        assert not any("_test_" in one for one in lived)
        foreign = v2(box, sandbox, "GET", f"{path}/{min(lived)}")
        assert (foreign.status, foreign.json()["error"]) == (404, "not_found")


def test_what_a_sandbox_key_creates_stays_in_its_world(box: Box) -> None:
    body = {"name": "Nobody", "kind": "person", "country": "US"}
    sandbox, live = box.key("test", environment="sandbox"), box.key("prod")

    created = v2(box, sandbox["value"], "POST", "/subjects", body).json()

    path = f"/subjects/{created['id']}"
    assert v2(box, sandbox["value"], "GET", path).status == 200
    assert v2(box, live["value"], "GET", path).status == 404


def test_tokens_see_the_world_of_their_application(box: Box) -> None:
    body = {"name": "Testing", "environment": "sandbox"}
    box.manage("PUT", "/applications/app_test01", body)
    value = box.secret(client_id="app_test01")["value"]
    token = box.token(value, client_id="app_test01")

    assert v2(box, box.token(), "GET", "/cases/case_204101").status == 200
    assert v2(box, token, "GET", "/cases/case_204101").status == 404
    assert v2(box, token, "GET", "/cases/case_test_01").status == 200


def test_cases_are_filtered_by_status_and_paged(box: Box) -> None:
    key = box.key()["value"]
    seen: list[str] = []
    path = "/cases?status=open&limit=2"
    cursor = ""
    for _ in range(3):
        page = v2(box, key, "GET", f"{path}&cursor={cursor}").json()
        assert {item["status"] for item in page["items"]} == {"open"}
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]

    assert seen == sorted(set(seen))
    assert len(seen) == 6
    assert cursor is None


@pytest.mark.parametrize(
    "query",
    ["status=bogus", "limit=0", "limit=1001", "limit=x", "cursor=!", "cursor=bm8", "cursor=é"],
)
def test_a_query_that_makes_no_sense_is_a_bad_request(box: Box, query: str) -> None:
    answer = v2(box, box.key()["value"], "GET", f"/cases?{query}")

    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_a_case_lives_from_creation_to_closing_and_its_history_tells(box: Box) -> None:
    key = box.key("investigator")["value"]
    body = {"title": "Odd", "subject_id": "subj_101"}
    case = v2(box, key, "POST", "/cases", body).json()
    path = f"/cases/{case['id']}"

    v2(box, key, "PATCH", path, {"priority": "critical", "status": "in_review"})
    v2(box, key, "POST", f"{path}/assign", {"assignee": "d.petrov"})
    closed = v2(box, key, "POST", f"{path}/close", {"resolution": "sar_filed", "note": "done"})

    assert closed.json()["status"] == "closed"
    assert closed.json()["assignee"] == "d.petrov"
    assert closed.json()["priority"] == "critical"
    history = v2(box, key, "GET", f"{path}/history").json()["items"]
    assert [step["what"] for step in history] == ["created", "updated", "assigned", "closed"]
    assert {step["by"] for step in history} == {"investigator"}
    again = v2(box, key, "POST", f"{path}/close", {"resolution": "no_action"})
    assert (again.status, again.json()["error"]) == (409, "wrong_status")


def test_a_sar_is_drafted_and_submitted_once(box: Box) -> None:
    key = box.key()["value"]
    draft = v2(box, key, "POST", "/sars", {"case_id": "case_204103", "narrative": "Why."}).json()
    assert (draft["status"], draft["subject_id"]) == ("draft", "subj_104")

    submitted = v2(box, key, "POST", f"/sars/{draft['id']}/submit")

    assert submitted.json()["status"] == "in_review"
    assert v2(box, key, "POST", f"/sars/{draft['id']}/submit").status == 409


def test_a_screening_finds_names_that_are_alike(box: Box) -> None:
    key = box.key()["value"]

    match = v2(box, key, "POST", "/watchlist/screenings", {"name": "drago viktor"}).json()
    clear = v2(box, key, "POST", "/watchlist/screenings", {"name": "Xu Qiang"}).json()

    assert match["result"] == "possible_match"
    assert match["matches"][0]["entry"]["name"] == "Viktor A. Drago"
    assert (clear["result"], clear["matches"]) == ("clear", [])


def test_transactions_are_searched(box: Box) -> None:
    key = box.key()["value"]
    search = {"subject_id": "subj_101", "counterparty": "ltd", "least_amount": 1, "limit": 10}

    found = v2(box, key, "POST", "/transactions/search", search).json()
    everything = v2(box, key, "POST", "/transactions/search").json()

    assert found["total"] == len(found["items"]) > 0
    assert {item["counterparty"] for item in found["items"]} == {"Meridian Ltd"}
    assert everything["total"] > len(everything["items"]) == 50


def test_a_removed_watchlist_entry_is_gone(box: Box) -> None:
    key = box.key()["value"]

    assert v2(box, key, "DELETE", "/watchlist/wl_502").status == 204
    assert v2(box, key, "DELETE", "/watchlist/wl_502").status == 404


def test_every_mistake_in_a_body_is_named_at_once(box: Box) -> None:
    body = {"titel": "x", "subject_id": 7, "priority": "hgih", "summary": "a\x00b"}

    answer = v2(box, box.key()["value"], "POST", "/cases", body)

    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    fields = answer.json()["fields"]
    assert fields["titel"] == "is not a known field; did you mean title?"
    assert fields["title"] == "is missing"
    assert fields["subject_id"] == "is not a text"
    assert fields["priority"].endswith("did you mean high?")
    assert fields["summary"] == "holds characters that cannot be printed"
    assert box.sandbox.log.entries()[-1].outcome == "invalid_request"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"title": "a", "title": "b"}', "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b"\xff\xfe\xfd", "application/json", 400),
        (b"title=a", "application/x-www-form-urlencoded", 415),
        (b'{"title": "' + b"x" * 70_000 + b'"}', "application/json", 413),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(
    box: Box, body: bytes, content_type: str, status: int
) -> None:
    headers = {"Content-Type": content_type}

    answer = box.call("POST", "/v2/cases", bearer=box.key()["value"], headers=headers, body=body)

    assert answer.status == status
    assert set(answer.json()) == {"error", "error_description"}


def test_a_case_of_an_unknown_subject_is_not_created(box: Box) -> None:
    key = box.key()["value"]
    before = v2(box, key, "GET", "/cases").json()

    answer = v2(box, key, "POST", "/cases", {"title": "x", "subject_id": "subj_999"})

    assert answer.json()["error_description"] == "There is no such subject."
    assert v2(box, key, "GET", "/cases").json() == before


def test_an_unknown_address_says_where_to_look(box: Box) -> None:
    answer = box.call("GET", "/v2/cases/case_204101/nothing")

    assert (answer.status, answer.json()["error"]) == (404, "not_found")
    assert box.call("PUT", "/v2/cases").json()["error"] == "method_not_allowed"


def test_the_root_lists_what_is_here(box: Box) -> None:
    contents = box.call("GET", "/").json()

    assert contents["service"] == "CaseForge sandbox"
    assert contents["token_endpoint"] == f"{box.sandbox.url}/oauth/token"
    assert "GET /v2/cases" in contents["api"]
