"""The words of the product."""

import copy
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credmgr.errors import CredmgrError, InvalidName, ManifestError, Problem
from credmgr.model.clock import SystemClock
from credmgr.model.consumer import Consumer, Grant, Readable
from credmgr.model.credential import Place, Schedule
from credmgr.model.finding import Alert, Severity
from credmgr.model.names import PATTERN, Name
from credmgr.model.rotation import MOVING, State
from credmgr.model.secret import Fingerprinter, Secret

VALUE = "a-value-that-nobody-may-see"


@pytest.mark.parametrize("text", ["a", "caseforge/api-key", "0/1/2", "a" * 63, "a/" * 127 + "b"])
def test_names_of_the_grammar_are_names(text: str) -> None:
    assert Name(text) == text
    assert "/".join(Name(text).segments) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "a/", "/a", "a//b", "..", "a/../b", "%2e%2e", "A", "a_b", "-a", "a b", "a\n",
        "a\0", "é", "a" * 64, "a/" * 128, "a?b", "a#b", "\u202ea",
    ],
)  # fmt: skip
def test_whatever_else_is_refused_and_shown_safely(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        Name(text)
    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()


@given(st.from_regex(PATTERN, fullmatch=True).filter(lambda text: len(text) <= 255))
def test_the_published_pattern_is_the_grammar(text: str) -> None:
    if not text.endswith("\n"):  # `$` of the pattern allows one, the grammar does not
        assert Name(text) == text


@pytest.mark.parametrize(
    "show",
    [repr, str, lambda one: f"{one}", lambda one: f"{one:>40}", lambda one: f"{[one]} {(one,)}"],
)
def test_a_secret_does_not_show_itself(show: Callable[[object], str]) -> None:
    assert VALUE not in show(Secret(VALUE))
    assert "hidden" in show(Secret(VALUE))


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, hash])
def test_a_secret_is_not_copied_out(leak: Callable[[object], object]) -> None:
    with pytest.raises(TypeError) as caught:
        leak(Secret(VALUE))
    assert VALUE not in str(caught.value)


def test_secrets_compare_by_value_and_with_nothing_else() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret("another")
    assert Secret(VALUE) != VALUE
    assert Secret(VALUE).reveal() == VALUE


def test_an_empty_secret_is_none() -> None:
    with pytest.raises(ValueError, match="never empty"):
        Secret("")


def test_fingerprints_are_keyed_and_short() -> None:
    one, other = Fingerprinter(b"1" * 32), Fingerprinter(b"2" * 32)
    assert one.of(Secret(VALUE)) == one.of(Secret(VALUE))
    assert one.of(Secret(VALUE)) != one.of(Secret("another"))
    assert one.of(Secret(VALUE)) != other.of(Secret(VALUE))
    assert len(one.of(Secret(VALUE))) == 16


def test_the_system_clock_tells_the_time_with_its_zone() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()
    assert not clock.wait(Event(), timedelta(milliseconds=1))
    gone = Event()
    gone.set()
    assert clock.wait(gone, timedelta(seconds=-1))


def test_a_consumer_has_the_grants_that_it_was_given() -> None:
    grant = Grant(Name("caseforge/app"), frozenset({Readable.TOKEN}))
    consumer = Consumer(Name("billing"), "payments", (grant,))
    assert consumer.grant(Name("caseforge/app")) is grant
    assert consumer.grant(Name("caseforge/other")) is None


def test_a_place_and_a_schedule_say_what_they_are() -> None:
    assert str(Place(Name("local"), Name("a/b"))) == "local:a/b"
    assert Schedule().manual_only
    assert not Schedule(every=timedelta(days=1)).manual_only


def test_parked_and_ended_rotations_do_not_move() -> None:
    assert {State.DONE, State.ABORTED, State.OPERATOR} == set(State) - MOVING


def test_an_error_says_its_docstring_unless_told_otherwise() -> None:
    assert CredmgrError().message == "Something went wrong in credmgr."
    assert str(CredmgrError("this")) == "this"


def test_problems_are_sorted_by_place() -> None:
    first, second = Problem("a.yaml", 2, 1, "late", "mend it"), Problem("a.yaml", 1, 9, "early")
    error = ManifestError([first, second])
    assert error.message == "a.yaml:1:9: early\na.yaml:2:1: late; mend it"
    assert str(Problem("a.yaml", 0, 0, "is no file")) == "a.yaml: is no file"


def test_an_alert_names_its_rule_by_the_beginning_of_its_key() -> None:
    alert = Alert(
        "key-age/caseforge/app", Severity.INFO, "", "", "", datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert alert.rule == "key-age"
