"""Every fault knob, seen from the caller's side of a real connection."""

import json
import socket
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from threading import Thread
from typing import Any

import pytest
import urllib3

from credmgr.sandbox import SEEDED_CLIENT_ID, Effect, EntryKind, Fault, When
from tests.sandbox_box import BEGINNING, Box, running_box, seconds

SECRETS = f"/applications/{SEEDED_CLIENT_ID}/secrets"


@pytest.fixture
def box() -> Iterator[Box]:
    with running_box() as box:
        yield box


def arm(box: Box, effect: Effect, **more: Any) -> None:
    box.sandbox.faults.add(Fault(effect=effect, **more))


def test_latency_answers_late(box: Box) -> None:
    arm(box, Effect.LATENCY, duration=seconds(0.2), path="/oauth")
    value = box.secret()["value"]

    begun = time.monotonic()
    answer = box.ask_token(value)

    assert time.monotonic() - begun >= 0.2
    assert answer.status == 200


def test_latency_may_come_after_applying(box: Box) -> None:
    arm(box, Effect.LATENCY, duration=seconds(0.1), when=When.AFTER)

    begun = time.monotonic()
    assert box.secret()["value"]
    assert time.monotonic() - begun >= 0.1


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [(7, "7"), (0, "0"), (-5, "-5"), (10**9, "1000000000"), ("soon", "soon"), (None, None)],
)
def test_rate_limiting_says_when_to_come_back(
    box: Box, retry_after: int | str | None, header: str | None
) -> None:
    arm(box, Effect.RATE_LIMIT, retry_after=retry_after)

    answer = box.ask_token("anything")

    assert (answer.status, answer.json()["error"]) == (429, "rate_limited")
    assert answer.headers.get("Retry-After") == header


def test_rate_limiting_may_say_it_as_a_date(box: Box) -> None:
    arm(box, Effect.RATE_LIMIT, retry_after=90, retry_after_as_date=True)

    header = box.ask_token("anything").headers["Retry-After"]

    assert header == "Tue, 24 Nov 2026 12:01:30 GMT"
    assert parsedate_to_datetime(header) == BEGINNING + seconds(90)


def test_a_server_error_has_the_body_it_is_given(box: Box) -> None:
    arm(box, Effect.SERVER_ERROR, status=500, count=1)
    arm(box, Effect.SERVER_ERROR, status=504, body="", retry_after=3)

    usual = box.call("GET", "/v2/cases")
    later = box.call("GET", "/v2/cases")

    assert (usual.status, usual.json()["error"]) == (500, "server_error")
    assert (later.status, later.data, later.headers["Retry-After"]) == (504, b"", "3")


def test_a_server_error_may_have_a_body_that_is_no_json(box: Box) -> None:
    arm(box, Effect.SERVER_ERROR, status=502, body="Bad gateway")

    answer = box.call("GET", "/v2/cases")

    assert (answer.status, answer.data) == (502, b"Bad gateway")
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_faults_count_the_requests_they_match_from_when_they_are_armed(box: Box) -> None:
    arm(box, Effect.SERVER_ERROR, skip=1, count=2, path="/v2/cases", method="GET")
    key = box.key()["value"]

    statuses = [box.call("GET", "/v2/cases", bearer=key).status for _ in range(5)]
    elsewhere = box.call("GET", "/v2/sars", bearer=key).status

    assert statuses == [200, 503, 503, 200, 200]
    assert elsewhere == 200


def test_a_server_error_before_applying_changes_nothing(box: Box) -> None:
    arm(box, Effect.SERVER_ERROR, path="/manage", count=1)

    assert box.manage("POST", SECRETS, {"label": "x"}).status == 503
    assert box.sandbox.secrets.live() == []


def test_a_server_error_after_applying_hides_that_it_was_applied(box: Box) -> None:
    arm(box, Effect.SERVER_ERROR, when=When.AFTER, path="/manage", count=1)

    assert box.manage("POST", SECRETS, {"label": "x"}).status == 503
    assert [secret.label for secret in box.sandbox.secrets.live()] == ["x"]


def test_html_comes_with_status_200(box: Box) -> None:
    arm(box, Effect.HTML)

    answer = box.ask_token("anything")

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.data.startswith(b"<!doctype html>")


def test_truncated_json_cannot_be_parsed_although_it_was_applied(box: Box) -> None:
    arm(box, Effect.TRUNCATE, count=1)

    answer = box.manage("POST", SECRETS, {"label": "cut"})

    assert answer.status == 201
    assert answer.data.startswith(b'{"id"')
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert len(box.sandbox.secrets.live()) == 1


def test_a_dropped_connection_changes_nothing(box: Box) -> None:
    arm(box, Effect.DROP, path="/manage", count=1)

    with pytest.raises(urllib3.exceptions.ProtocolError):
        box.manage("POST", SECRETS, {"label": "never"})

    assert box.sandbox.secrets.live() == []
    assert box.secret("then")["label"] == "then"


def test_a_lost_answer_was_applied_all_the_same(box: Box) -> None:
    arm(box, Effect.DROP, when=When.AFTER, path="/manage", count=1)

    with pytest.raises(urllib3.exceptions.ProtocolError):
        box.manage("POST", SECRETS, {"label": "orphan"})

    (orphan,) = box.manage("GET", f"{SECRETS}?label_prefix=orphan").json()["items"]
    assert orphan["status"] == "active"
    assert box.sandbox.log.entries()[-1].kind is EntryKind.SECRET_CREATED


def test_a_hanging_request_ends_when_the_caller_gives_up(box: Box) -> None:
    arm(box, Effect.HANG, path="/oauth", count=1)

    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        box.call("POST", "/oauth/token", timeout=0.2)

    assert box.call("POST", "/oauth/token").status == 400


def test_a_hanging_request_may_have_been_applied(box: Box) -> None:
    arm(box, Effect.HANG, when=When.AFTER, path="/manage", count=1)

    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        box.manage("POST", SECRETS, {"label": "x"}, timeout=0.3)

    assert len(box.sandbox.secrets.live()) == 1


def test_a_hanging_request_is_dropped_when_its_time_is_up(box: Box) -> None:
    arm(box, Effect.HANG, duration=seconds(0.1))

    with pytest.raises(urllib3.exceptions.ProtocolError):
        box.call("GET", "/")


def test_a_hanging_request_does_not_keep_the_sandbox_from_stopping() -> None:
    def ask(url: str) -> None:
        failed.append(None)
        with pytest.raises(urllib3.exceptions.HTTPError):
            urllib3.request("GET", url, retries=False, timeout=20)
        failed.clear()

    failed: list[None] = []
    with running_box() as box:
        arm(box, Effect.HANG)
        asking = Thread(target=ask, args=(box.sandbox.url,))
        asking.start()
        while not box.sandbox.faults.as_json()["faults"][0]["seen"]:
            pass
        begun = time.monotonic()
    asking.join()
    assert time.monotonic() - begun < 2.5
    assert not failed


def test_a_new_secret_is_accepted_only_after_the_propagation_delay(box: Box) -> None:
    arm(box, Effect.PROPAGATION_DELAY, duration=seconds(30), count=2, method="POST")
    secret, key = box.secret(), box.key()

    def statuses() -> tuple[int, int]:
        api = box.call("GET", "/v2/cases", bearer=key["value"])
        return box.ask_token(secret["value"]).status, api.status

    assert statuses() == (401, 401)
    box.clock.advance(seconds(29.9))
    assert statuses() == (401, 401)
    box.clock.advance(seconds(0.1))
    assert statuses() == (200, 200)
    assert box.ask_token(box.secret()["value"]).status == 200


def test_a_key_that_has_not_propagated_is_not_known_yet(box: Box) -> None:
    arm(box, Effect.PROPAGATION_DELAY, duration=seconds(30))

    answer = box.call("GET", "/v2/cases", bearer=box.key()["value"])

    assert "not known here yet" in answer.json()["error_description"]


def test_a_new_secret_is_listed_only_after_the_lists_catch_up(box: Box) -> None:
    arm(box, Effect.STALE_LIST, duration=seconds(10), path="/manage/v1/applications/*/secrets")
    created = box.secret("late")

    assert box.manage("GET", SECRETS).json()["items"] == []
    assert box.manage("GET", f"{SECRETS}/{created['id']}").status == 200
    assert box.ask_token(created["value"]).status == 200
    assert len(box.manage("GET", "/secrets").json()["items"]) == 1
    box.clock.advance(seconds(10))
    assert len(box.manage("GET", SECRETS).json()["items"]) == 1


@pytest.mark.parametrize(("method", "end"), [("DELETE", ""), ("POST", "/disable")])
def test_an_ended_secret_is_accepted_until_the_revocation_delay_is_over(
    box: Box, method: str, end: str
) -> None:
    created = box.secret()
    arm(box, Effect.REVOCATION_DELAY, duration=seconds(20), method=method)
    box.manage(method, f"{SECRETS}/{created['id']}{end}")

    assert box.ask_token(created["value"]).status == 200
    box.clock.advance(seconds(20))
    assert box.ask_token(created["value"]).status == 401


def test_a_delayed_revocation_never_revives_a_disabled_secret(box: Box) -> None:
    created = box.secret()
    box.manage("POST", f"{SECRETS}/{created['id']}/disable")
    arm(box, Effect.REVOCATION_DELAY, duration=seconds(20))

    box.manage("DELETE", f"{SECRETS}/{created['id']}")

    assert box.ask_token(created["value"]).status == 401


def test_several_faults_act_together(box: Box) -> None:
    arm(box, Effect.LATENCY, duration=seconds(0.1))
    arm(box, Effect.PROPAGATION_DELAY, duration=seconds(5))
    arm(box, Effect.PROPAGATION_DELAY, duration=seconds(3))
    arm(box, Effect.TRUNCATE)
    arm(box, Effect.LATENCY, duration=seconds(0.1), when=When.AFTER)

    begun = time.monotonic()
    box.manage("POST", SECRETS, {})

    assert time.monotonic() - begun >= 0.2
    (secret,) = box.sandbox.secrets.live()
    assert secret.accepted_from == BEGINNING + seconds(5)


def test_faults_are_armed_over_the_management_api(box: Box) -> None:
    fault = {
        "effect": "rate-limit",
        "method": "POST",
        "path": "/oauth/token",
        "when": "before",
        "skip": 0,
        "count": 2,
        "seconds": 0.0,
        "status": 503,
        "body": None,
        "retry_after": 120,
        "retry_after_as_date": False,
    }

    put = box.manage("PUT", "/faults", {"faults": [fault]})
    added = box.manage("POST", "/faults", {"effect": "html", "path": "/v2", "body": "a\nb"})

    assert (put.status, put.json()) == (200, {"faults": [{**fault, "seen": 0}]})
    assert added.status == 201
    assert box.ask_token("x").headers["Retry-After"] == "120"
    assert box.call("GET", "/v2/cases").status == 200
    listed = box.manage("GET", "/faults").json()["faults"]
    assert [(item["effect"], item["seen"]) for item in listed] == [("rate-limit", 1), ("html", 1)]
    assert box.manage("DELETE", "/faults").json() == {"faults": []}
    assert box.call("GET", "/v2/cases").status == 401


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        ({}, "effect"),
        ({"effect": "meltdown"}, "effect"),
        ({"effect": "html", "count": 0}, "count"),
        ({"effect": "html", "count": 1.5}, "count"),
        ({"effect": "html", "skip": -1}, "skip"),
        ({"effect": "html", "skip": True}, "skip"),
        ({"effect": "latency", "seconds": "1"}, "seconds"),
        ({"effect": "server-error", "status": 404}, "status"),
        ({"effect": "rate-limit", "retry_after": [1]}, "retry_after"),
        ({"effect": "rate-limit", "retry_after_as_date": 1}, "retry_after_as_date"),
        ({"effect": "html", "delay": 1}, "delay"),
    ],
)
def test_a_wrong_fault_names_the_field(box: Box, fault: dict[str, Any], field: str) -> None:
    one = box.manage("POST", "/faults", fault)
    many = box.manage("PUT", "/faults", {"faults": [fault]})

    assert (one.status, many.status) == (400, 400)
    assert list(one.json()["fields"]) == [field]
    assert box.manage("GET", "/faults").json() == {"faults": []}


@pytest.mark.parametrize("body", [{}, {"faults": {}}, {"faults": [1]}, {"faults": [], "x": 1}])
def test_a_list_of_faults_is_a_list_of_objects(box: Box, body: dict[str, Any]) -> None:
    assert box.manage("PUT", "/faults", body).status == 400


def test_the_faults_themselves_are_out_of_reach_of_faults(box: Box) -> None:
    arm(box, Effect.DROP)

    assert box.manage("DELETE", "/faults").status == 200
    assert box.manage("GET", "/log").status == 200


def test_a_request_cut_off_by_its_sender_leaves_the_sandbox_whole(box: Box) -> None:
    host, _, port = box.sandbox.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\ngrant")

    assert box.call("GET", "/").status == 200
