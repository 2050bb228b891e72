"""Every built-in notifier against the one contract, and the contract against broken ones."""

import io
import json
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from credmgr.errors import NotifierError
from credmgr.manifest.references import References
from credmgr.model.finding import Alert, Severity
from credmgr.notifiers.alertmanager import AlertmanagerNotifierFactory, AlertmanagerOptions
from credmgr.notifiers.apprise import AppriseNotifierFactory, AppriseOptions
from credmgr.notifiers.log import LogNotifierFactory, LogOptions
from credmgr.notifiers.webhook import WebhookNotifierFactory, WebhookOptions
from credmgr.plugins.context import PluginContext
from credmgr.testing import Channel, FakeClock, NotifierContract, Received
from credmgr.testing.canaries import new_canary
from credmgr.testing.notifier_contract import HOSTILE_TEXTS
from tests.channel_world import NoKeys, Sink, channel_context, http_sink, logging_to

TOKEN = f"cnry{secrets.token_hex(20)}"


class TestLogNotifier(NotifierContract):
    @pytest.fixture
    def channel(self, tmp_path: Path) -> Iterator[Channel]:
        stream = io.StringIO()
        context = PluginContext("ops", tmp_path, FakeClock(), NoKeys(), References(tmp_path))

        def received() -> list[Received]:
            # A line of its own is what could be forged; its names are the fields.
            lines = [line for line in stream.getvalue().split("\n") if line]
            return [Received(dict.fromkeys(json.loads(line), ""), line) for line in lines]

        with logging_to(stream):
            notifier = LogNotifierFactory().open(LogOptions(), context)
            yield Channel(notifier, received)
            notifier.close()


def test_the_end_of_something_critical_is_logged_for_information(tmp_path: Path) -> None:
    stream = io.StringIO()
    context = PluginContext("ops", tmp_path, FakeClock(), NoKeys(), References(tmp_path))
    alert = Alert("a/b", Severity.CRITICAL, "payments", "it is so", "", FakeClock().now())
    with logging_to(stream):
        notifier = LogNotifierFactory().open(LogOptions(), context)
        for resolved in (False, True):
            notifier.deliver(replace(alert, resolved=resolved))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [one["level"] for one in lines] == ["critical", "info"]
    assert {one["severity"] for one in lines} == {"critical"}


class TestWebhook(NotifierContract):
    @pytest.fixture
    def channel(self) -> Iterator[Channel]:
        secret = new_canary()
        with http_sink() as sink:
            options = WebhookOptions(f"{sink.url}/hook", "env:SECRET")
            context = channel_context(secret, deadline=timedelta(seconds=2))
            notifier = WebhookNotifierFactory().open(options, context)
            yield Channel(notifier, sink.received, sink.down, secret, troubles_of(sink))
            notifier.close()


class TestAlertmanager(NotifierContract):
    @pytest.fixture
    def channel(self) -> Iterator[Channel]:
        with http_sink() as sink:
            options = AlertmanagerOptions(sink.url, "env:SECRET")
            context = channel_context(TOKEN, deadline=timedelta(seconds=2))
            notifier = AlertmanagerNotifierFactory().open(options, context)
            yield Channel(notifier, sink.received, sink.down, TOKEN, troubles_of(sink))
            notifier.close()


class TestApprise(NotifierContract):
    """Over Apprise's own `json://`; tests/integration has it over SMTP."""

    @pytest.fixture
    def channel(self) -> Iterator[Channel]:
        with http_sink() as sink:
            context = channel_context(
                f"json://user:{TOKEN}@127.0.0.1:{sink.port}", deadline=timedelta(seconds=2)
            )
            notifier = AppriseNotifierFactory().open(AppriseOptions("env:SECRET"), context)

            def received() -> list[Received]:
                return [Received(headers, text_of(body)) for headers, body in list(sink.heard)]

            yield Channel(notifier, received, sink.down, TOKEN, troubles_of(sink))
            notifier.close()


def troubles_of(sink: Sink) -> Mapping[str, Callable[[], AbstractContextManager[object]]]:
    return {"slow": sink.slow, "failing": sink.failing, "unheard": sink.unheard}


def text_of(body: bytes) -> str:
    """What a person would read of Apprise's JSON."""
    said = json.loads(body)
    return f"{said['title']}\n{said['message']}"


class Mail:
    """A notifier that keeps every promise, on a wire as simple as a mail's: headers, then text."""

    def __init__(self) -> None:
        self.password = new_canary()
        self.sent: list[str] = []
        self.down = False
        self.log = logging.getLogger(__name__)

    def deliver(self, alert: Alert) -> None:
        facts = "".join(f"\n{key}: {value}" for key, value in alert.facts.items())
        about = f"owner: {alert.owner}\nseverity: {alert.severity.value}\nmessage: {alert.id}"
        body = f"{alert.body}{facts}\n{about}"
        self.send(self.header(alert.title), self.header(alert.key), self.text(body))

    def send(self, subject: str, key: str, text: str) -> None:
        if self.down:
            raise NotifierError("the mail server does not answer")
        self.sent.append(f"Subject: {subject}\nX-Key: {key}\n\n{text}")

    def header(self, text: str) -> str:
        return ascii(text)[1:-1]

    def text(self, text: str) -> str:
        return "\n".join(ascii(line)[1:-1] for line in text.split("\n"))[:10_000]

    def close(self) -> None:
        pass

    def received(self) -> list[Received]:
        messages = (sent.partition("\n\n") for sent in self.sent)
        return [
            Received(dict(line.partition(": ")[::2] for line in head.splitlines()), text)
            for head, _, text in messages
        ]

    @contextmanager
    def outage(self) -> Iterator[None]:
        self.down = True
        yield
        self.down = False

    def channel(self) -> Channel:
        troubles = {"failing": self.outage}
        return Channel(self, self.received, self.outage, self.password, troubles)


class TestMail(NotifierContract):
    @pytest.fixture
    def channel(self) -> Channel:
        return Mail().channel()


# --- a broken promise fails the check of that promise


class SendsNothing(Mail):
    def send(self, subject: str, key: str, text: str) -> None:
        pass


class SendsTwice(Mail):
    def deliver(self, alert: Alert) -> None:
        super().deliver(alert)
        super().deliver(alert)


class LeavesTheKeyOut(Mail):
    def send(self, subject: str, key: str, text: str) -> None:
        del key
        super().send(subject, "", text)


class RefusesRepeats(Mail):
    def send(self, subject: str, key: str, text: str) -> None:
        if any(key in sent for sent in self.sent):
            raise NotifierError("told already")
        super().send(subject, key, text)


class ShowsTheLastOnesToo(Mail):
    def send(self, subject: str, key: str, text: str) -> None:
        super().send(subject, key, f"{text}\n{self.sent[-1:]}")


class TrustsHeaders(Mail):
    def header(self, text: str) -> str:
        return text


class TrustsText(Mail):
    def text(self, text: str) -> str:
        return text


class Chokes(Mail):
    def text(self, text: str) -> str:
        text.encode()
        if "\0" in text:
            raise ValueError(text)
        return super().text(text)


class RefusesLong(Mail):
    def text(self, text: str) -> str:
        if len(text) > 10_000:
            raise NotifierError("too long")
        return super().text(text)


class MixesThreads(Mail):
    subject = ""

    def send(self, subject: str, key: str, text: str) -> None:
        self.subject = subject
        Event().wait(0.01)
        super().send(self.subject, key, text)


class HidesOutages(Mail):
    def send(self, subject: str, key: str, text: str) -> None:
        if not self.down:
            super().send(subject, key, text)


class LetsTheErrorThrough(Mail):
    def send(self, subject: str, key: str, text: str) -> None:
        if self.down:
            raise ConnectionRefusedError
        super().send(subject, key, text)


class GivesUp(Mail):
    class Final(NotifierError):
        retryable = False

    def send(self, subject: str, key: str, text: str) -> None:
        if self.down:
            raise self.Final("no")
        super().send(subject, key, text)


class NeverComesBack(Mail):
    broken = False

    def send(self, subject: str, key: str, text: str) -> None:
        self.broken = self.broken or self.down
        if self.broken:
            raise NotifierError
        super().send(subject, key, text)


class Talks(Mail):
    def send(self, subject: str, key: str, text: str) -> None:
        self.log.debug("signing in with %s", self.password)
        super().send(subject, key, text)


class Complains(Mail):
    def send(self, subject: str, key: str, text: str) -> None:
        try:
            super().send(subject, key, text)
        except NotifierError as error:
            raise NotifierError("no answer") from ValueError(self.password, error)


class ShowsItself(Mail):
    def __repr__(self) -> str:
        return f"Mail({self.password!r})"


class LeavesTheIdOut(Mail):
    def deliver(self, alert: Alert) -> None:
        super().deliver(replace(alert, id=""))


class TellsTheFirstOnly(Mail):
    def text(self, text: str) -> str:
        return super().text(text.partition("\n")[0])


class TellsNoEnds(Mail):
    def deliver(self, alert: Alert) -> None:
        if not alert.resolved:
            super().deliver(alert)


class ClosesOnce(Mail):
    closed = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True


ARRIVES = "an_alert_arrives_once_with_all_that_a_person_needs"
HOSTILE = "a_hostile_text_neither_breaks_nor_forges_anything"
DOWN = "a_channel_that_is_down_is_an_error_to_be_repeated_later"
TROUBLE = "trouble_is_an_error_to_be_repeated_later"
SECRET = "its_own_secret_shows_nowhere"  # noqa: S105 (the name of a check)
BROKEN: list[tuple[type[Mail], str, dict[str, str]]] = [
    (SendsNothing, ARRIVES, {}),
    (SendsTwice, ARRIVES, {}),
    (LeavesTheKeyOut, ARRIVES, {}),
    (SendsTwice, "each_call_delivers_its_own_alert_in_order", {}),
    (ShowsTheLastOnesToo, "each_call_delivers_its_own_alert_in_order", {}),
    (RefusesRepeats, "an_alert_may_be_delivered_again", {}),
    (TrustsHeaders, HOSTILE, {"part": "title", "text": HOSTILE_TEXTS["CRLF"]}),
    (TrustsHeaders, HOSTILE, {"part": "key", "text": HOSTILE_TEXTS["LF"]}),
    (TrustsHeaders, HOSTILE, {"part": "title", "text": HOSTILE_TEXTS["right-to-left override"]}),
    (TrustsText, HOSTILE, {"part": "body", "text": HOSTILE_TEXTS["right-to-left override"]}),
    (TrustsText, HOSTILE, {"part": "facts", "text": HOSTILE_TEXTS["terminal escapes"]}),
    (TrustsText, HOSTILE, {"part": "owner", "text": HOSTILE_TEXTS["NUL"]}),
    (Chokes, HOSTILE, {"part": "body", "text": HOSTILE_TEXTS["NUL"]}),
    (Chokes, HOSTILE, {"part": "body", "text": HOSTILE_TEXTS["half a character"]}),
    (RefusesLong, "a_very_long_body_arrives_at_least_in_part", {"character": "x"}),
    (MixesThreads, "many_threads_at_once_deliver_each_alert_whole_and_once", {}),
    (SendsTwice, "many_threads_at_once_deliver_each_alert_whole_and_once", {}),
    (HidesOutages, DOWN, {}),
    (LetsTheErrorThrough, DOWN, {}),
    (GivesUp, DOWN, {}),
    (NeverComesBack, DOWN, {}),
    (HidesOutages, TROUBLE, {"trouble": "failing"}),
    (GivesUp, TROUBLE, {"trouble": "failing"}),
    (Complains, TROUBLE, {"trouble": "failing"}),
    (LeavesTheIdOut, TROUBLE, {"trouble": "failing"}),
    (TellsTheFirstOnly, "what_sums_up_others_tells_each", {}),
    (TellsNoEnds, "an_end_is_told_too", {}),
    (Talks, SECRET, {}),
    (Complains, SECRET, {}),
    (ShowsItself, SECRET, {}),
    (ClosesOnce, "close_may_be_repeated", {}),
]


@pytest.mark.parametrize(("broken", "name", "given"), BROKEN)
def test_a_broken_promise_is_noticed(
    broken: type[Mail],
    name: str,
    given: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    check: Callable[..., None] = getattr(NotifierContract(), f"test_{name}")
    wanted: dict[str, Any] = {"severity": Severity.WARNING, "caplog": caplog, "capfd": capfd}
    arguments = check.__code__.co_varnames[1 : check.__code__.co_argcount]
    more = {key: value for key, value in {**wanted, **given}.items() if key in arguments}
    check(channel=Mail().channel(), **more)
    caplog.clear()
    with pytest.raises((AssertionError, OSError, ValueError, NotifierError, pytest.fail.Exception)):
        check(channel=broken().channel(), **more)
