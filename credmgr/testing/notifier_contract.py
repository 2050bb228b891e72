"""What every notifier must do, as a pytest class to subclass.

class TestMine(NotifierContract):
    @pytest.fixture
    def channel(self):
        with a_server() as server:
            notifier = MyNotifierFactory().open(MyOptions(...), context)
            yield Channel(notifier, server.received, server.outage, server.password,
                          {"failing": server.failing})
            notifier.close()
"""

import logging
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Barrier
from typing import Any, Final
from uuid import uuid4

import pytest

from credmgr.errors import NotifierError
from credmgr.model.finding import Alert, Severity
from credmgr.plugins.notifier import Notifier
from credmgr.testing.canaries import everything_in, leaks

LONG: Final = 100_000
"""Bytes of the longest body that is tried; what arrives may be cut."""
THREADS: Final = 16
TROUBLES: Final = ("slow", "failing", "unheard")
"""The other end answers too late; says that it cannot; takes it, and its answer is lost."""
PARTS: Final = ("key", "owner", "title", "body", "facts")
HOSTILE_TEXTS: Final = {
    "nothing": "",
    "CRLF": "x\r\nBcc: forged@forged.example\r\nX-Forged: 1\r\n\r\nforged",
    "LF": 'x\nX-Forged: 1\n\n{"forged": true}',
    "further line ends": "x\u2028X-Forged: 1\u2029X-Forged: 2\x85X-Forged: 3\x0b\x0c",
    "NUL": "before\0after",
    "terminal escapes": "\x1b]0;forged\x07\x1b[2J\x9b31m",
    "right-to-left override": "abc\u202egnp.exe",
    "half a character": "abc\ud800",
    "templates": "%s %(x)s {0} {{ x }} ${HOME} $(id) <b onclick='x'>*_[x](//forged.example)",
    "quotes and commas": "'\"`\\, <forged@forged.example>, ;",
}
_LINE_ENDS: Final = frozenset("\r\n\t")
_OVERRIDES: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SEPARATORS: Final = {"Cc", "Cs", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class Received:
    """One message as its channel carries it, transfer encodings undone and nothing else.

    Attributes:
        fields: What steers the message or stands in one line, by name: headers, addresses, subject.
        text: The rest: what a person reads, or a program parses.
    """

    fields: dict[str, str]
    text: str

    def shows(self, text: str) -> bool:
        """Whether `text` stands in it somewhere."""
        return any(text in part for part in (*self.fields.values(), self.text))


@dataclass(frozen=True, slots=True)
class Channel:
    """A notifier, and what the test holds of the channel's other end.

    Attributes:
        notifier: The session under test.
        received: Every message that arrived so far, oldest first; of a channel that takes its time,
            waits for those that were delivered.
        outage: The other end is down while this is entered; None when it cannot be.
        canary: The secret by which the notifier signs in; None when it has none.
        troubles: By word of `TROUBLES`, what the other end is in while this is entered; those that
            there are. The notifier's deadline should be short.
    """

    notifier: Notifier
    received: Callable[[], Sequence[Received]]
    outage: Callable[[], AbstractContextManager[object]] | None = None
    canary: str | None = None
    troubles: Mapping[str, Callable[[], AbstractContextManager[object]]] = field(
        default_factory=dict
    )


class NotifierContract:
    """Subclass it and give the fixture `channel`."""

    @pytest.fixture
    def channel(self) -> Channel:
        """A notifier with its other end; may yield it, to close it afterwards."""
        raise NotImplementedError("give the fixture `channel`")

    @pytest.mark.parametrize("severity", list(Severity))
    def test_an_alert_arrives_once_with_all_that_a_person_needs(
        self, channel: Channel, severity: Severity
    ) -> None:
        """The key as well, by which a receiver knows a repetition."""
        alert = replace(an_alert(), severity=severity)
        message = _delivered(channel, alert)
        shown = (alert.key, alert.owner, alert.title, alert.body, severity.value)
        assert [text for text in shown if not message.shows(text)] == []

    def test_each_call_delivers_its_own_alert_in_order(self, channel: Channel) -> None:
        """And nothing of an earlier one."""
        alerts = [an_alert() for _ in range(3)]
        before = len(channel.received())
        for alert in alerts:
            channel.notifier.deliver(alert)
        found = _titles(channel.received()[before:], alerts)
        assert found == [[alert.title] for alert in alerts]

    def test_an_alert_may_be_delivered_again(self, channel: Channel) -> None:
        """After a crash credmgr does so; the channel may drop the repetition, not refuse it."""
        alert = an_alert()
        before = len(channel.received())
        channel.notifier.deliver(alert)
        channel.notifier.deliver(alert)
        found = _titles(channel.received()[before:], [alert])
        assert found in ([[alert.title]], [[alert.title]] * 2)

    @pytest.mark.parametrize("part", PARTS)
    @pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS.keys())
    def test_a_hostile_text_neither_breaks_nor_forges_anything(
        self, channel: Channel, text: str, part: str
    ) -> None:
        """One message, with the fields that any has, and with nothing that acts on its reader."""
        plain = _delivered(channel, an_alert())
        changed: dict[str, Any] = {part: {"fact": text} if part == "facts" else text}
        message = _delivered(channel, replace(an_alert(), **changed))
        assert message.fields.keys() == plain.fields.keys()
        assert {name for name, value in message.fields.items() if _acting(value)} == set()
        assert _acting(message.text, allowed=_LINE_ENDS) == ""
        after = an_alert()
        assert _delivered(channel, after).shows(after.title)

    @pytest.mark.parametrize("character", ["x", "\n", "\U0001f511"])
    def test_a_very_long_body_arrives_at_least_in_part(
        self, channel: Channel, character: str
    ) -> None:
        """What is cut is the body's end."""
        body = "The beginning. " + character * (LONG // len(character.encode()))
        alert = replace(an_alert(), body=body)
        message = _delivered(channel, alert)
        assert message.shows(alert.title)
        assert message.shows("The beginning.")

    def test_many_threads_at_once_deliver_each_alert_whole_and_once(self, channel: Channel) -> None:
        """No message mixes two."""
        alerts = [an_alert() for _ in range(THREADS)]
        before, start = len(channel.received()), Barrier(THREADS)

        def deliver(alert: Alert) -> None:
            start.wait()
            channel.notifier.deliver(alert)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(deliver, alerts))
        found = _titles(channel.received()[before:], alerts)
        assert sorted(found) == sorted([alert.title] for alert in alerts)

    def test_a_channel_that_is_down_is_an_error_to_be_repeated_later(
        self, channel: Channel
    ) -> None:
        """And when it is up again, the same session delivers."""
        if channel.outage is None:
            pytest.skip("this channel cannot be down")
        alert = an_alert()
        with channel.outage(), pytest.raises(NotifierError) as caught:
            channel.notifier.deliver(alert)
        assert caught.value.retryable
        assert _delivered(channel, alert).shows(alert.title)

    @pytest.mark.parametrize("trouble", TROUBLES)
    def test_trouble_is_an_error_to_be_repeated_later(self, channel: Channel, trouble: str) -> None:
        """Whether it arrived or not: the receiver knows a repetition by its id."""
        if trouble not in channel.troubles:
            pytest.skip(f"this channel cannot be {trouble}")
        alert = replace(an_alert(), id=str(uuid4()))
        with channel.troubles[trouble](), pytest.raises(NotifierError) as caught:
            channel.notifier.deliver(alert)
        assert caught.value.retryable
        assert channel.canary is None or not leaks(channel.canary, everything_in(caught.value))
        again = _delivered(channel, alert)
        assert again.shows(alert.title)
        assert again.shows(alert.id)

    def test_what_sums_up_others_tells_each(self, channel: Channel) -> None:
        """In one message, or in one for each."""
        items = tuple(an_alert() for _ in range(3))
        titles = [item.title for item in items]
        before = len(channel.received())
        channel.notifier.deliver(replace(an_alert(), body="\n".join(titles), items=items))
        new = channel.received()[before:]
        assert [title for title in titles if not any(one.shows(title) for one in new)] == []

    def test_an_end_is_told_too(self, channel: Channel) -> None:
        """As any other alert is."""
        alert = replace(an_alert(), resolved=True)
        assert _delivered(channel, alert).shows(alert.title)

    def test_its_own_secret_shows_nowhere(
        self,
        channel: Channel,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """Not in logs at DEBUG, output, errors or `repr`, nor in what a person reads."""
        if channel.canary is None:
            pytest.skip("this notifier has no secret of its own")
        with caplog.at_level(logging.DEBUG):
            shown = _delivered(channel, an_alert()).text + repr(channel.notifier)
            if channel.outage is not None:
                with channel.outage(), pytest.raises(NotifierError) as caught:
                    channel.notifier.deliver(an_alert())
                shown += everything_in(caught.value)
        shown += caplog.text + "".join(repr(vars(record)) for record in caplog.records)
        assert not leaks(channel.canary, shown + "".join(capfd.readouterr()))

    def test_close_may_be_repeated(self, channel: Channel) -> None:
        """Before anything was delivered, and twice."""
        channel.notifier.close()
        channel.notifier.close()


def an_alert() -> Alert:
    """An ordinary alert that no other one resembles."""
    token = uuid4().hex
    return Alert(
        key=f"rotation-parked:caseforge/{token}",
        severity=Severity.WARNING,
        owner="payments-team",
        title=f"The rotation of caseforge/{token} waits for you",
        body="Its issuer refused three times.",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        facts={"attempt": "3"},
    )


def _delivered(channel: Channel, alert: Alert) -> Received:
    before = len(channel.received())
    channel.notifier.deliver(alert)
    new = channel.received()[before:]
    assert len(new) == 1, f"{len(new)} messages arrived of one"
    return new[0]


def _titles(messages: Sequence[Received], alerts: Sequence[Alert]) -> list[list[str]]:
    """Which of the alerts' titles each message shows."""
    return [[alert.title for alert in alerts if message.shows(alert.title)] for message in messages]


def _acting(text: str, allowed: frozenset[str] = frozenset()) -> str:
    """The characters that end a line, steer a terminal, reorder the text or are none."""
    return "".join(
        character
        for character in text
        if character not in allowed
        and (character in _OVERRIDES or unicodedata.category(character) in _SEPARATORS)
    )
