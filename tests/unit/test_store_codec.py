"""What the state database keeps of a value is exactly that value, and never a secret."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credmgr.errors import StateError
from credmgr.model.credential import (
    Credential,
    Drift,
    Environment,
    Kind,
    Overlap,
    Place,
    Retry,
    RotationPolicy,
    Schedule,
    Target,
    Window,
)
from credmgr.model.finding import Alert, Severity
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.store import codec

names = st.builds(Name, st.from_regex(r"[a-z0-9][a-z0-9-]{0,9}(/[a-z0-9]{1,5})?", fullmatch=True))
texts = st.text(st.characters(codec="utf-8"), max_size=20)
spans = st.timedeltas(timedelta(), timedelta(days=4000))
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns"]).map(ZoneInfo)
places = st.builds(Place, names, names)
windows = st.builds(
    Window,
    days=st.frozensets(st.integers(1, 7), min_size=1),
    start=st.times(),
    end=st.times(),
)
schedules = st.builds(
    Schedule,
    every=st.none() | spans,
    cron=st.none() | st.just("0 3 * * 1"),
    zone=zones,
    windows=st.lists(windows, max_size=2).map(tuple),
    jitter=st.floats(0, 0.5),
)
policies = st.builds(
    RotationPolicy,
    schedule=schedules,
    overlap=st.builds(Overlap, spans, spans),
    retry=st.builds(Retry, spans, spans, st.integers(1, 99), spans),
)
options = st.dictionaries(
    texts,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones)  # noqa: DTZ001
targets = st.builds(Target, places, st.booleans(), st.sampled_from(Drift))
credentials = st.builds(
    Credential,
    name=names,
    kind=st.sampled_from(Kind),
    issuer=names,
    owner=texts,
    environment=st.sampled_from(Environment),
    store=places,
    targets=st.lists(targets, max_size=3).map(tuple),
    scopes=st.frozensets(texts, max_size=4),
    client_id=st.none() | texts,
    policy=policies,
    options=st.just({}) | st.just({"type": "live", "list": [1, {"a": None}]}) | options,
    description=texts,
)


@settings(max_examples=50)
@given(credentials)
def test_a_declaration_comes_back_as_it_was(credential: Credential) -> None:
    text = codec.declaration(credential)
    again = codec.credential(text)
    assert again == credential
    assert codec.declaration(again) == text
    assert text.isascii()


@settings(max_examples=30)
@given(credentials)
def test_equal_declarations_have_equal_texts_whatever_order_they_were_written_in(
    credential: Credential,
) -> None:
    turned = Credential(
        **{
            **{name: getattr(credential, name) for name in credential.__slots__},
            "options": dict(reversed(list(credential.options.items()))),
            "scopes": frozenset(sorted(credential.scopes, reverse=True)),
        }
    )
    assert codec.declaration(turned) == codec.declaration(credential)


alerts = st.builds(
    Alert,
    key=texts,
    severity=st.sampled_from(Severity),
    owner=texts,
    title=texts,
    body=texts,
    at=st.datetimes(timezones=st.just(UTC)),
    facts=st.dictionaries(texts, texts, max_size=3),
    environment=st.none() | st.sampled_from(Environment),
    resolved=st.booleans(),
    once=st.booleans(),
    id=texts,
)


@given(st.builds(replace, alerts, items=st.lists(alerts, max_size=2).map(tuple)))
def test_an_alert_comes_back_as_it_was(alert: Alert) -> None:
    assert codec.alert(codec.alert_body(alert)) == alert


@given(st.lists(moments, min_size=2, max_size=6))
def test_moments_as_text_sort_as_the_moments_do(spoken: list[datetime]) -> None:
    by_text = sorted(spoken, key=codec.moment_text)
    assert [codec.utc(each) for each in by_text] == sorted(codec.utc(each) for each in spoken)
    assert all(
        datetime.fromisoformat(codec.moment_text(each)) == codec.utc(each) for each in spoken
    )


def test_a_moment_is_kept_in_utc_and_one_without_a_zone_is_refused() -> None:
    berlin = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert codec.moment_text(berlin) == "2026-07-01T10:00:00.000000+00:00"
    with pytest.raises(ValueError, match="without a zone"):
        codec.moment_text(datetime(2026, 7, 1, 12))  # noqa: DTZ001 (that is the point)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda secret: secret,
        lambda secret: [secret],
        lambda secret: (secret,),
        lambda secret: {"a": {"b": secret}},
    ],
)
def test_a_secret_is_refused_wherever_it_hides(wrap: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError, match="not a Secret") as refused:
        codec.canonical({"value": wrap(Secret("canary-value"))})
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, time(12), object(), Secret("x")])
def test_what_is_no_plain_value_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        codec.canonical(value)
    with pytest.raises(TypeError):
        codec.plain_text(value)


def test_keys_are_text_and_numbers_are_finite() -> None:
    with pytest.raises(TypeError, match="keys"):
        codec.canonical({1: "a"})
    with pytest.raises(ValueError, match="not JSON compliant"):
        codec.canonical(float("nan"))


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [("plain ä", "plain ä"), ("a\0b", r"a\x00b"), ("a\udc80b", r"a\udc80b")],
)
def test_text_that_a_database_does_not_take_is_escaped(given_text: str, kept: str) -> None:
    assert codec.plain_text(given_text) == kept


def test_a_target_of_an_earlier_release_is_read_and_stays_equal() -> None:
    place = {"backend": "other", "name": "a"}
    earlier = damaged(targets=[place])

    again = codec.credential(earlier)

    assert again.targets == (Target(Place(Name("other"), Name("a"))),)
    assert codec.declaration(again) == earlier


def damaged(**changes: object) -> str:
    place = Place(Name("local"), Name("a"))
    credential = Credential(Name("a"), Kind.API_KEY, Name("cf"), "o", Environment.TEST, store=place)
    return codec.canonical(json.loads(codec.declaration(credential)) | changes)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[]",
        damaged(name="../x"),
        damaged(kind="password"),
        damaged(policy={"schedule": {"zone": "Mars/Base"}}),
    ],
)
def test_a_damaged_declaration_is_a_typed_error(text: str) -> None:
    with pytest.raises(StateError, match="cannot be read"):
        codec.credential(text)


def test_the_fields_that_differ_are_named() -> None:
    assert codec.changed_fields(damaged(), damaged(owner="p", extra=1)) == ["extra", "owner"]
