"""What is asked of an issuer and what it answers, without a socket."""

from datetime import UTC, datetime, timedelta

import pytest

from credmgr.errors import InvalidAnswer, IssuerRefused, OutcomeUnknown
from credmgr.issuers.calls import Answer, Authority, Call
from credmgr.model.secret import Secret
from credmgr.plugins.clocks import MAX_RETRY_AFTER, retry_after

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
VALUE = "canary-8a31"


def a_call(**more: object) -> Call:
    settings: dict[str, object] = {
        "method": "GET",
        "base": "https://auth.example:8443/tenant",
        "path": "/keys/{id}",
        "values": {"id": "k/1 ü?"},
        "query": {"cursor": "a&b"},
        "authority": Authority.MANAGEMENT,
    }
    return Call(**{**settings, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("0", timedelta(0)),
        (" 7 ", timedelta(seconds=7)),
        ("3600", timedelta(hours=1)),
        ("3601", MAX_RETRY_AFTER),
        ("1000000000", MAX_RETRY_AFTER),
        ("9" * 5000, MAX_RETRY_AFTER),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("5, 10", None),
        ("Tue, 24 Nov 2026 12:00:30 GMT", timedelta(seconds=30)),
        ("Tue, 24 Nov 2026 11:00:00 GMT", timedelta(0)),
        ("Tue, 24 Nov 2026 12:00:30 -0000", timedelta(seconds=30)),
        ("Tuesday, 24-Nov-26 12:00:30 GMT", timedelta(seconds=30)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("Tue, 99 Nov 2026 12:00:30 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", MAX_RETRY_AFTER),
    ],
)
def test_retry_after_is_understood_or_ignored(header: str | None, wait: timedelta | None) -> None:
    found = retry_after(header, NOW)
    assert found == wait
    assert found is None or timedelta(0) <= found <= MAX_RETRY_AFTER


def test_a_call_encodes_its_values_and_shows_only_the_template() -> None:
    call = a_call(bearer=Secret(VALUE), form={"client_secret": Secret(VALUE)})
    assert call.url == "https://auth.example:8443/tenant/keys/k%2F1%20%C3%BC%3F?cursor=a%26b"
    assert str(call) == "GET auth.example:8443 /keys/{id}"
    assert VALUE not in repr(call)


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_value_never_leads_out_of_its_place(value: str) -> None:
    with pytest.raises(IssuerRefused):
        _ = a_call(values={"id": value}).url


@pytest.mark.parametrize(
    "body",
    [{}, {"id": None}, {"id": 7}, {"id": ""}, {"id": "a\nb"}, [], "id", None],
    ids=repr,
)
def test_a_missing_or_wrong_text_is_no_answer(body: object) -> None:
    with pytest.raises(InvalidAnswer):
        Answer(a_call(), 200, body).text("id")
    with pytest.raises(OutcomeUnknown):
        Answer(a_call(changes=True), 200, body).text("id")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-24T12:00:00", "2026-13-01T00:00:00Z"])
def test_a_moment_has_its_zone(text: str) -> None:
    with pytest.raises(InvalidAnswer):
        Answer(a_call(), 200, {"at": text}).moment("at")


def test_a_moment_is_read_in_any_zone() -> None:
    answer = Answer(a_call(), 200, {"at": "2026-11-24T14:00:00+02:00"})
    assert answer.moment("at") == NOW
    assert answer.moment("at").tzinfo is UTC


@pytest.mark.parametrize("body", [{}, {"items": {}}, {"items": "ab"}, ["x"]], ids=repr)
def test_a_missing_or_wrong_list_is_no_answer(body: object) -> None:
    with pytest.raises(InvalidAnswer):
        Answer(a_call(), 200, body).entries("items")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": "invalid_client"}, "invalid_client"),
        ({"error": VALUE}, ""),
        ({"error": "a" * 41}, ""),
        ({"error": ["invalid_client"]}, ""),
        ({}, ""),
        (None, ""),
    ],
)
def test_an_error_code_is_a_plain_word_or_nothing(body: object, code: str) -> None:
    assert Answer(a_call(), 400, body).code == code


def test_an_answer_shows_nothing_of_its_body() -> None:
    assert VALUE not in repr(Answer(a_call(), 200, {"value": VALUE}))
