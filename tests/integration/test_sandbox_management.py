"""The management API: applications, secrets, keys, the ground truth."""

from collections.abc import Iterator
from typing import Any

import pytest

from credmgr.errors import NotAllowedNow
from credmgr.sandbox import ALL_SCOPES, SEEDED_CLIENT_ID, CredentialKind, RunningSandbox, Status
from tests.sandbox_box import Box, running_box, seconds

SECRETS = f"/applications/{SEEDED_CLIENT_ID}/secrets"


@pytest.fixture
def box() -> Iterator[Box]:
    with running_box() as box:
        yield box


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/applications"),
        ("POST", "/applications"),
        ("PUT", "/applications/app_x"),
        ("POST", SECRETS),
        ("DELETE", f"{SECRETS}/sec_x"),
        ("GET", "/keys"),
        ("POST", "/keys"),
        ("GET", "/log"),
        ("GET", "/secrets"),
        ("PUT", "/faults"),
    ],
)
def test_only_the_admin_gets_in(box: Box, method: str, path: str) -> None:
    key = box.key()["value"]

    missing = box.call(method, f"/manage/v1{path}")
    wrong = box.call(method, f"/manage/v1{path}", bearer=key)

    assert (missing.status, wrong.status) == (401, 401)
    assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]


def test_the_example_application_is_there_without_secrets(box: Box) -> None:
    application = box.manage("GET", f"/applications/{SEEDED_CLIENT_ID}").json()

    assert application["scopes"] == list(ALL_SCOPES)
    assert application["grant_types"] == ["client_credentials"]
    assert application["environment"] == "live"
    assert box.manage("GET", SECRETS).json() == {"items": [], "next_cursor": None}


def test_an_application_is_created_listed_and_read(box: Box) -> None:
    body = {"name": "Billing", "description": "Two\nlines", "scopes": ["sar:read", "cases:read"]}

    created = box.manage("POST", "/applications", body)

    assert created.status == 201
    application = created.json()
    assert application["client_id"].startswith("app_")
    assert len(application["client_id"]) == 10
    assert application["scopes"] == ["cases:read", "sar:read"]
    path = f"/applications/{application['client_id']}"
    assert box.manage("GET", path).json() == application
    assert application in box.manage("GET", "/applications").json()["items"]


def test_declaring_an_application_twice_changes_nothing(box: Box) -> None:
    body = {"name": "Declared", "scopes": ["cases:read"]}
    first = box.manage("PUT", "/applications/app_d3clared", body)
    entries = len(box.sandbox.log.entries())

    second = box.manage("PUT", "/applications/app_d3clared", body)

    assert (first.status, second.status) == (201, 200)
    assert first.json() == second.json()
    assert len(box.sandbox.log.entries()) == entries


def test_declaring_an_application_anew_changes_it_and_keeps_its_secrets(box: Box) -> None:
    value = box.secret()["value"]
    body = {"name": "Narrow", "scopes": ["cases:read"]}

    changed = box.manage("PUT", f"/applications/{SEEDED_CLIENT_ID}", body)

    assert changed.status == 200
    assert changed.json()["name"] == "Narrow"
    assert box.ask_token(value).json()["scope"] == "cases:read"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "x", "scopes": ["cases:reed"]}, "scopes"),
        ({"name": "x", "scopes": "cases:read"}, "scopes"),
        ({"name": "x", "scopes": [1]}, "scopes"),
        ({"name": "x", "grant_types": ["password"]}, "grant_types"),
        ({"name": "x", "environment": "prod"}, "environment"),
        ({"name": "x", "client_id": "mine"}, "client_id"),
    ],
)
def test_a_wrong_declaration_names_the_field(box: Box, body: dict[str, Any], field: str) -> None:
    answer = box.manage("PUT", "/applications/app_wr0ng", body)

    assert answer.status == 400
    assert list(answer.json()["fields"]) == [field]
    assert box.manage("GET", "/applications/app_wr0ng").status == 404


def test_a_client_id_is_plain(box: Box) -> None:
    answer = box.manage("PUT", "/applications/app-%C3%A9", {"name": "x"})

    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_a_secret_shows_its_value_once(box: Box) -> None:
    created = box.secret("rotation-1/attempt-1")

    assert created["id"].startswith("sec_")
    assert created["label"] == "rotation-1/attempt-1"
    assert created["status"] == "active"
    assert created["client_id"] == SEEDED_CLIENT_ID
    assert created["last_four"] == created["value"][-4:]
    value = created.pop("value")
    for path in (SECRETS, f"{SECRETS}/{created['id']}", "/secrets", "/log"):
        assert value not in box.manage("GET", path).data.decode()
    assert box.manage("GET", f"{SECRETS}/{created['id']}").json() == created


def test_a_key_shows_its_value_once(box: Box) -> None:
    created = box.key("local-dev-2026-03", label="x", environment="sandbox")

    assert created["id"].startswith("key_")
    assert created["name"] == "local-dev-2026-03"
    assert created["environment"] == "sandbox"
    value = created.pop("value")
    assert value.startswith("cf_sand_")
    for path in ("/keys", f"/keys/{created['id']}", "/secrets", "/log"):
        assert value not in box.manage("GET", path).data.decode()
    assert box.manage("GET", f"/keys/{created['id']}").json() == created


def test_an_application_has_two_live_secrets_at_most(box: Box) -> None:
    first, _ = box.secret("a"), box.secret("b")

    third = box.manage("POST", SECRETS, {"label": "c"})
    box.manage("POST", f"{SECRETS}/{first['id']}/disable")
    while_disabled = box.manage("POST", SECRETS, {"label": "c"})
    box.manage("DELETE", f"{SECRETS}/{first['id']}")
    freed = box.manage("POST", SECRETS, {"label": "c"})

    assert (third.status, third.json()["error"]) == (409, "no_free_slot")
    assert (while_disabled.status, freed.status) == (409, 201)
    assert len(box.sandbox.secrets.live()) == 2


def test_a_key_name_has_two_live_keys_at_most(box: Box) -> None:
    box.key("ci", label="a")
    box.key("ci", label="b", environment="sandbox")

    third = box.manage("POST", "/keys", {"name": "ci", "environment": "live"})
    other = box.manage("POST", "/keys", {"name": "ci-2", "environment": "live"})

    assert (third.status, third.json()["error"]) == (409, "no_free_slot")
    assert other.status == 201


def test_ending_a_secret_twice_is_the_same_as_once(box: Box) -> None:
    created = box.secret()
    path = f"{SECRETS}/{created['id']}"

    for method, end in (("POST", "/disable"), ("DELETE", "")):
        first = box.manage(method, path + end)
        box.clock.advance(seconds(5))
        entries = len(box.sandbox.log.entries())
        second = box.manage(method, path + end)
        assert (first.status, second.status) == (200, 200)
        assert first.json() == second.json()
        assert len(box.sandbox.log.entries()) == entries
    assert box.manage("POST", f"{path}/disable").json()["status"] == "revoked"


def test_a_revoked_secret_is_never_enabled(box: Box) -> None:
    created = box.secret()
    path = f"{SECRETS}/{created['id']}"
    box.manage("DELETE", path)

    answer = box.manage("POST", f"{path}/enable")

    assert (answer.status, answer.json()["error"]) == (409, "secret_revoked")
    assert box.ask_token(created["value"]).status == 401


def test_lists_show_revoked_secrets_only_when_asked(box: Box) -> None:
    old, new = box.secret("old"), box.secret("new")
    box.manage("DELETE", f"{SECRETS}/{old['id']}")

    live = box.manage("GET", SECRETS).json()["items"]
    everything = box.manage("GET", f"{SECRETS}?include=revoked").json()["items"]

    assert [item["id"] for item in live] == [new["id"]]
    assert [item["status"] for item in everything] == ["revoked", "active"]
    assert everything[0]["revoked_at"] is not None
    assert box.manage("GET", f"{SECRETS}?include=everything").status == 400


def test_lists_are_narrowed_by_label_and_name_and_paged(box: Box) -> None:
    for name in ("a", "b"):
        for attempt in (1, 2):
            box.key(name, label=f"rot-{name}/{attempt}")

    def labels(query: str) -> list[str]:
        return [item["label"] for item in box.manage("GET", f"/keys?{query}").json()["items"]]

    assert labels("") == ["rot-a/1", "rot-a/2", "rot-b/1", "rot-b/2"]
    assert labels("name=b") == ["rot-b/1", "rot-b/2"]
    assert labels("label_prefix=rot-a") == ["rot-a/1", "rot-a/2"]
    assert labels("label_prefix=rot-a&name=b") == []
    page = box.manage("GET", "/keys?limit=3").json()
    rest = box.manage("GET", f"/keys?limit=3&cursor={page['next_cursor']}").json()
    assert len(page["items"]) == 3
    assert [item["label"] for item in rest["items"]] == ["rot-b/2"]
    assert rest["next_cursor"] is None


def test_a_secret_is_found_only_under_its_own_application_and_kind(box: Box) -> None:
    box.manage("PUT", "/applications/app_0ther1", {"name": "Other"})
    created, key = box.secret(), box.key()

    assert box.manage("GET", f"/applications/app_0ther1/secrets/{created['id']}").status == 404
    assert box.manage("DELETE", f"{SECRETS}/{key['id']}").status == 404
    assert box.manage("DELETE", f"/keys/{created['id']}").status == 404
    assert box.manage("GET", f"{SECRETS}/sec_unknown").status == 404
    assert box.manage("POST", "/applications/app_unknown/secrets", {}).status == 404
    assert box.manage("GET", "/applications/app_unknown/secrets").status == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "environment": "live", "label": "x" * 129}, "label"),
        ({"name": "x", "environment": "live", "label": 3}, "label"),
        ({"name": "x"}, "environment"),
        ({"environment": "live"}, "name"),
    ],
)
def test_a_wrong_key_names_the_field(box: Box, body: dict[str, Any], field: str) -> None:
    answer = box.manage("POST", "/keys", body)

    assert answer.status == 400
    assert list(answer.json()["fields"]) == [field]


def test_a_label_may_have_128_characters_or_none(box: Box) -> None:
    assert box.secret("é" * 128)["label"] == "é" * 128
    assert box.manage("POST", SECRETS).json()["label"] == ""


def test_the_scopes_of_keys_created_without_any_can_be_set() -> None:
    with running_box(key_scopes=("alerts:read",)) as box:
        assert box.key()["scopes"] == ["alerts:read"]


def test_the_ground_truth_tells_everything_in_order(box: Box) -> None:
    created = box.secret("one")
    path = f"{SECRETS}/{created['id']}"
    box.manage("POST", f"{path}/disable")
    box.manage("POST", f"{path}/enable")
    box.manage("DELETE", path)

    log = box.manage("GET", "/log").json()

    assert [entry["seq"] for entry in log["items"]] == [1, 2, 3, 4, 5]
    assert [entry["kind"] for entry in log["items"]] == [
        "application-declared",
        "secret-created",
        "secret-disabled",
        "secret-enabled",
        "secret-revoked",
    ]
    assert log["items"][1] == {
        "seq": 2,
        "time": "2026-11-24T12:00:00.000000Z",
        "kind": "secret-created",
        "credential_kind": "oauth-client",
        "credential": SEEDED_CLIENT_ID,
        "secret_id": created["id"],
        "label": "one",
        "outcome": "ok",
        "detail": "",
    }
    assert log["last_seq"] == 5


def test_the_ground_truth_is_read_from_where_one_was(box: Box) -> None:
    box.secret()

    assert box.manage("GET", "/log?after=1&limit=1").json()["last_seq"] == 2
    assert box.manage("GET", "/log?after=99").json() == {"items": [], "last_seq": 99}
    for query in ("after=x", "after=-1", "limit=0", "limit=10001", "after=" + "9" * 30):
        assert box.manage("GET", f"/log?{query}").status == 400


def test_every_live_secret_is_listed_with_whether_it_is_accepted(box: Box) -> None:
    secret, key = box.secret("s"), box.key("k")
    box.manage("POST", f"/keys/{key['id']}/disable")
    gone = box.key("gone")
    box.manage("DELETE", f"/keys/{gone['id']}")

    listed = box.manage("GET", "/secrets").json()["items"]

    assert [
        (item["id"], item["kind"], item["credential"], item["accepted"]) for item in listed
    ] == [
        (secret["id"], CredentialKind.OAUTH_CLIENT, SEEDED_CLIENT_ID, True),
        (key["id"], CredentialKind.API_KEY, "k", False),
    ]


def test_the_log_and_the_secrets_can_be_read_in_process(box: Box) -> None:
    created = box.secret("mine")

    (live,) = box.sandbox.secrets.live()
    assert (live.id, live.status) == (created["id"], Status.ACTIVE)
    assert box.sandbox.log.entries(after=1)[0].who == live.who
    assert box.sandbox.applications.get(SEEDED_CLIENT_ID).client_id == SEEDED_CLIENT_ID


def test_a_sandbox_that_does_not_run_says_so() -> None:
    with pytest.raises(NotAllowedNow):
        _ = RunningSandbox().url
