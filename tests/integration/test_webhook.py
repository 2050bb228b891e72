"""Webhooks against a real server: signed, pinned, bounded, and at most what was asked for."""

import hmac
import json
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from credmgr.errors import ConfigError, NotifierError
from credmgr.model.clock import SystemClock
from credmgr.model.credential import Environment
from credmgr.model.finding import Alert, Severity
from credmgr.notifiers.alertmanager import AlertmanagerNotifierFactory, AlertmanagerOptions
from credmgr.notifiers.webhook import WebhookNotifierFactory, WebhookOptions
from credmgr.plugins.notifier import Notifier, NotifierRefused
from credmgr.testing import FakeClock
from credmgr.testing.key_vault.certificate import write_certificates
from credmgr.testing.notifier_contract import an_alert
from tests.channel_world import Sink, channel_context, http_sink

SECRET = "s" * 40
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "webhook.schema.json").read_text())


def a_webhook(sink: Sink, **options: Any) -> Notifier:
    made = WebhookOptions(**{"url": f"{sink.url}/a/b?team=x", "secret": "env:SECRET", **options})
    context = channel_context(SECRET, clock=FakeClock(), deadline=timedelta(seconds=2))
    return WebhookNotifierFactory().open(made, context)


def test_a_message_is_signed_over_its_time_and_body() -> None:
    alert = replace(an_alert(), id="m-1", environment=Environment.PRODUCTION)
    with http_sink() as sink:
        a_webhook(sink).deliver(alert)
        ((headers, body),) = sink.heard
    moment = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    expected = hmac.new(SECRET.encode(), b"%d.%s" % (moment, body), sha256).hexdigest()
    assert headers["Credmgr-Signature"] == f"t={moment},v1={expected}"
    assert headers["Credmgr-Message"] == "m-1"
    assert headers["Host"] == f"127.0.0.1:{sink.port}"
    assert json.loads(body)["id"] == "m-1"


@pytest.mark.parametrize("count", [0, 3])
def test_its_body_is_as_documented(count: int) -> None:
    items = tuple(an_alert() for _ in range(count))
    alert = replace(an_alert(), id="m-1", items=items, environment=Environment.TEST)
    with http_sink() as sink:
        a_webhook(sink).deliver(alert)
        said = json.loads(sink.heard[0][1])
    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(
        said
    )
    assert [one["key"] for one in said["alerts"]] == [one.key for one in items or (alert,)]


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_receiver_may_not_want_a_message(status: int) -> None:
    with http_sink() as sink:
        sink.status = status
        with pytest.raises(NotifierRefused, match=f"127.0.0.1: answered {status}"):
            a_webhook(sink).deliver(an_alert())


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 500, 503])
def test_any_other_refusal_is_tried_again(status: int) -> None:
    with http_sink() as sink:
        sink.status = status
        with pytest.raises(NotifierError) as caught:
            a_webhook(sink).deliver(an_alert())
    assert caught.value.retryable


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with http_sink() as sink, http_sink() as elsewhere:
        sink.status, sink.headers = status, {"Location": elsewhere.url}
        with pytest.raises(NotifierError, match="redirects are not followed"):
            a_webhook(sink).deliver(an_alert())
        assert elsewhere.heard == []


def test_an_endless_answer_is_not_read_on() -> None:
    with http_sink() as sink:
        sink.floods = True
        a_webhook(sink).deliver(an_alert())
        assert len(sink.heard) == 1


def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_sink() as sink, http_sink() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        a_webhook(sink).deliver(an_alert())
        assert (len(sink.heard), proxy.heard) == (1, [])


def a_tls_sink(folder: Path) -> tuple[ssl.SSLContext, Path]:
    authority, server = write_certificates(folder, SystemClock().now())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    return context, authority


def test_the_pinned_address_still_has_to_show_the_names_certificate(tmp_path: Path) -> None:
    tls, authority = a_tls_sink(tmp_path)
    with http_sink(tls) as sink:
        url = f"https://localhost:{sink.port}/"
        a_webhook(sink, url=url, ca_bundle=authority).deliver(an_alert())
        assert sink.heard[0][0]["Host"] == f"localhost:{sink.port}"
        with pytest.raises(NotifierError, match="certificate is not trusted"):
            a_webhook(sink, url=url).deliver(an_alert())
        other = url.replace("localhost", "127.0.0.2")
        with pytest.raises(NotifierError):
            a_webhook(sink, url=other, ca_bundle=authority).deliver(an_alert())
        assert len(sink.heard) == 1


def test_what_it_needs_is_seen_when_it_is_opened(tmp_path: Path) -> None:
    factory = WebhookNotifierFactory()
    options = WebhookOptions("https://hooks.example/", "env:SECRET")
    with pytest.raises(ConfigError, match="too short to sign with"):
        factory.open(options, channel_context("short"))
    with pytest.raises(ConfigError, match="not set"):
        factory.open(options, channel_context())
    with pytest.raises(ConfigError, match="the CA bundle nowhere"):
        factory.open(
            replace(options, ca_bundle=Path("nowhere.pem")), channel_context(SECRET, tmp_path)
        )
    mistakes = factory.validate(replace(options, url="http://hooks.example/", networks=("x",)))
    assert [one.option for one in mistakes] == ["url", "networks.0"]
    other = AlertmanagerOptions("ftp://x", networks=("x",))
    assert [one.option for one in AlertmanagerNotifierFactory().validate(other)] == [
        "url",
        "networks.0",
    ]


def test_alertmanager_is_told_of_ends_and_of_other_severities() -> None:
    clock = FakeClock()
    alert = Alert("key-age/a", Severity.WARNING, "payments", "old", "rotate", clock.now())
    with http_sink() as sink:
        options = AlertmanagerOptions(f"{sink.url}/prefix/", "env:SECRET", timedelta(hours=2))
        one = AlertmanagerNotifierFactory().open(options, channel_context(SECRET, clock=clock))
        one.deliver(alert)
        clock.advance(timedelta(minutes=5))
        one.deliver(replace(alert, resolved=True))
        told = [json.loads(body) for _, body in sink.heard]
        assert sink.heard[0][0]["Authorization"] == f"Bearer {SECRET}"
    ends = [{one["labels"]["severity"]: one["endsAt"] for one in each} for each in told]
    now, later = "2026-01-01T00:00:00+00:00", "2026-01-01T02:00:00+00:00"
    assert ends == [
        {"info": now, "warning": later, "critical": now},
        dict.fromkeys(("info", "warning", "critical"), "2026-01-01T00:05:00+00:00"),
    ]
    assert told[0][1]["labels"] == {
        "alertname": "key-age",
        "severity": "warning",
        "owner": "payments",
        "key": "key-age/a",
    }
