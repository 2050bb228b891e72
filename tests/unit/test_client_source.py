"""`TokenSource`: one request for all, a token that is good, and nothing on the way to a hit."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

import pytest

from credmgr.client import Fresh, TokenSource, TokenUnavailable
from credmgr.client.source import _PATIENCE
from credmgr.errors import CredmgrError, NotGranted

HOUR = timedelta(hours=1)
MINUTE = 60.0


class Issuer:
    """An origin in memory, and the time that a source sees."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.life = HOUR
        self.made = 0
        self.answers: list[str] = []
        """What it gives next; after these a new token each time."""
        self.changed = False
        self.error: Exception | None = None
        self.deaf: CredmgrError | None = None
        self.gate: Event | None = None
        self.asked = Event()
        self.told: list[str] = []

    def steady(self) -> float:
        return self.now

    def fetch(self) -> Fresh:
        self.asked.set()
        if self.gate is not None:
            assert self.gate.wait(20)
        if self.error is not None:
            raise self.error
        if self.answers:
            return Fresh(self.answers.pop(0), self.life)
        self.made += 1
        return Fresh(f"token-{self.made}", self.life)

    def outdated(self) -> bool:
        return self.changed

    def reject(self, token: str) -> None:
        self.told.append(token)
        if self.deaf is not None:
            raise self.deaf


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def source(issuer: Issuer) -> TokenSource:
    return TokenSource(issuer, steady=issuer.steady)


def settled(source: TokenSource) -> None:
    """Until nothing is on its way."""
    pause = Event()
    for _ in range(2000):
        if source._flight is None:
            return
        pause.wait(0.005)
    raise AssertionError("it never came")


def test_a_second_ask_is_served_from_memory(source: TokenSource, issuer: Issuer) -> None:
    assert source.at_hand() is None
    assert source.token() == source.token() == source.at_hand() == "token-1"
    assert issuer.made == 1


def test_a_hit_takes_no_lock(source: TokenSource) -> None:
    source.token()
    with source._lock:
        assert source.token() == "token-1"


def test_all_who_ask_at_once_wait_for_one_request(source: TokenSource, issuer: Issuer) -> None:
    issuer.gate = Event()
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(source.token) for _ in range(50)]
        assert issuer.asked.wait(20)
        issuer.gate.set()
        assert {one.result(20) for one in asked} == {"token-1"}
    assert issuer.made == 1


def test_five_minutes_before_its_end_it_is_replaced_while_it_still_serves(
    source: TokenSource, issuer: Issuer
) -> None:
    source.token()
    issuer.now += 55 * MINUTE - 1
    assert source.token() == "token-1"
    settled(source)
    assert issuer.made == 1
    issuer.now += 1
    assert source.token() == "token-1"
    settled(source)
    assert source.token() == "token-2"


def test_a_short_life_is_renewed_when_a_fifth_of_it_is_left(
    source: TokenSource, issuer: Issuer
) -> None:
    issuer.life = timedelta(seconds=10)
    source.token()
    issuer.now += 7.9
    source.token()
    settled(source)
    assert issuer.made == 1
    issuer.now += 0.1
    assert source.token() == "token-1"
    settled(source)
    assert source.token() == "token-2"


def test_a_dead_token_is_never_given_out(source: TokenSource, issuer: Issuer) -> None:
    source.token()
    issuer.error = TokenUnavailable("down", retry_after=timedelta(seconds=5))
    issuer.now += 57 * MINUTE
    assert source.token() == "token-1"
    settled(source)
    assert source.token() == "token-1"
    issuer.now += 3 * MINUTE - 1
    with pytest.raises(TokenUnavailable, match="down"):
        source.token()
    issuer.error = None
    issuer.now += 5
    assert source.token() == "token-2"


def test_after_a_failure_nobody_is_asked_until_the_pause_is_over(
    source: TokenSource, issuer: Issuer
) -> None:
    issuer.error = TokenUnavailable("down", retry_after=timedelta(seconds=5))
    for _ in range(2):
        with pytest.raises(TokenUnavailable):
            source.token()
    issuer.error = None
    issuer.now += 4.9
    with pytest.raises(TokenUnavailable):
        source.token()
    issuer.now += 0.1
    assert source.token() == "token-1"


@pytest.mark.parametrize("error", [NotGranted(), ValueError("the reader broke")], ids=["no", "bug"])
def test_whatever_went_wrong_is_raised_where_it_was_asked(
    source: TokenSource, issuer: Issuer, error: Exception
) -> None:
    issuer.error = error
    with pytest.raises(type(error)):
        source.token()


def test_once_a_minute_it_looks_whether_another_has_taken_its_place(
    source: TokenSource, issuer: Issuer
) -> None:
    source.token()
    issuer.changed = True
    issuer.now += MINUTE - 1
    assert source.token() == "token-1"
    issuer.now += 1
    assert source.token() == "token-1"
    settled(source)
    assert source.token() == "token-2"


def test_a_refused_token_is_reported_and_replaced(source: TokenSource, issuer: Issuer) -> None:
    token = source.token()
    assert source.reject(token)
    assert source.token() == "token-2"
    assert issuer.told == ["token-1"]


def test_only_the_first_report_counts(source: TokenSource, issuer: Issuer) -> None:
    token = source.token()
    assert not source.reject("another")
    assert not source.reject("")
    assert source.reject(token)
    source.token()
    assert not source.reject(token)
    assert issuer.told == ["token-1"]


def test_a_report_that_nobody_hears_is_no_failure(source: TokenSource, issuer: Issuer) -> None:
    issuer.deaf = TokenUnavailable("away", retry_after=timedelta(seconds=1))
    source.reject(source.token())
    assert source.token() == "token-2"


def test_what_is_refused_while_it_is_looked_at_is_not_taken_up_again(
    source: TokenSource, issuer: Issuer
) -> None:
    token = source.token()
    issuer.gate, issuer.answers, issuer.changed = Event(), [token], True
    issuer.asked.clear()
    issuer.now += MINUTE
    assert source.token() == token
    assert issuer.asked.wait(20)
    assert source.reject(token)
    issuer.gate.set()
    assert source.token() == "token-2"
    assert issuer.told == [token]


def test_who_waits_too_long_is_told(
    source: TokenSource, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("credmgr.client.source._PATIENCE", _PATIENCE * 0)
    issuer.gate = Event()
    with pytest.raises(TokenUnavailable, match="long time"):
        source.token()
    issuer.gate.set()
    settled(source)
    assert source.token() == "token-1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_asks_for_itself_whatever_its_parent_was_doing(
    source: TokenSource, issuer: Issuer
) -> None:
    issuer.gate = Event()
    waiting = threading.Thread(target=source.token)
    waiting.start()
    assert issuer.asked.wait(20)
    with source._lock:
        child = os.fork()
        if child == 0:
            issuer.gate.set()
            os._exit(0 if source.token() == "token-1" else 1)
    issuer.gate.set()
    waiting.join()
    assert os.waitpid(child, 0)[1] == 0


def test_it_shows_no_token(source: TokenSource) -> None:
    shown: list[Callable[[object], str]] = [repr, str]
    source.token()
    assert not any("token-1" in show(one) for show in shown for one in (source, source._held))
    assert "abc" not in repr(Fresh("abc", HOUR))
