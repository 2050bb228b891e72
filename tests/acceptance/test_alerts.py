"""Findings from opening to resolution, as they arrive by mail, by webhook and in the log."""

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.installation import Installation, until
from tests.channel_world import Sink, http_sink
from tests.integration.mail_sink import MailSink, mail_sink, text_of

NOTIFIERS = """\
notifiers:
  log: {{plugin: log}}
  mail: {{plugin: apprise, url: file:mail.url}}
  hook: {{plugin: webhook, url: "{url}/hook", secret: file:hook.secret}}
alerts:
  group_wait: 0s
  group_interval: 1s
  routes:
    - match: {{severity: critical, environment: production}}
      to: [hook, mail, log]
    - match: {{owner: nobody}}
      to: []
"""
RULE = "default.api-key-in-production"
HERE = "    issuer: dashboard\n"
LIVE = f"{HERE}    environment: production\n"


def private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


class Told:
    """An installation whose alerts reach a mail server and a web server."""

    def __init__(self, home: Installation, mail: MailSink, hook: Sink) -> None:
        self.home, self.mail, self.hook = home, mail, hook
        home.edit("notifiers: {log: {plugin: log}}\n", NOTIFIERS.format(url=hook.url))
        private(home.folder / "mail.url", mail.url)
        private(home.folder / "hook.secret", secrets.token_hex(32))

    def mails(self) -> str:
        return "\n".join(f"{mail['Subject']}\n{text_of(mail)}" for mail in list(self.mail.mails))

    def posted(self) -> list[dict[str, Any]]:
        bodies = [json.loads(body) for _, body in list(self.hook.heard)]
        return [one for body in bodies for one in body["alerts"]]

    def about(self, rule: str, *, resolved: bool) -> list[dict[str, Any]]:
        known = [one for one in self.posted() if one["rule"] == rule]
        return [one for one in known if one["resolved"] is resolved]


@pytest.fixture
def told(grown: Installation) -> Iterator[Told]:
    with ExitStack() as stack:
        mail = stack.enter_context(mail_sink(secrets.token_hex(16)))
        yield Told(grown, mail, stack.enter_context(http_sink()))


def test_a_finding_is_heard_of_when_it_opens_and_when_it_is_resolved(told: Told) -> None:
    told.home.edit(HERE, LIVE)
    with told.home.background("run", "--apply") as daemon:
        until(lambda: told.about(RULE, resolved=False))
        until(lambda: RULE in told.mails())
        daemon.wait_for(RULE)
        told.home.edit(LIVE, HERE)
        told.home.run("apply", "--yes")
        until(lambda: told.about(RULE, resolved=True))
        until(lambda: told.mails().count(RULE) >= 2)
        assert daemon.stop() == 0
    (opened,) = told.about(RULE, resolved=False)
    assert (opened["owner"], opened["environment"]) == ("partners", "production")
    listed = told.home.json("notify", "list")
    assert {one["name"]: one["failures"] for one in listed["channels"]} == {
        "hook": 0,
        "log": 0,
        "mail": 0,
    }


def test_a_test_alert_says_what_happened(told: Told) -> None:
    assert "took it" in told.home.run("notify", "test", "mail", "hook").out
    assert len(told.mail.mails) == len(told.hook.heard) == 1
    told.hook.status = 500
    said = told.home.run("notify", "test", "--env", "production", "--severity", "critical", code=1)
    assert "hook did not take it: 127.0.0.1: answered 500" in said.out
    assert "mail took it" in said.out
    assert told.home.json("notify", "test", "hook", code=1) == {"delivered": {"hook": False}}
    assert "nobody hears" in told.home.run("notify", "test", "--owner", "nobody").out
    assert "no notifier post" in told.home.run("notify", "test", "post", code=2).err


def test_a_route_explains_itself(told: Told) -> None:
    said = told.home.run("notify", "route", "--env", "production", "--severity", "critical").out
    assert "hook mail log" in said
    chosen = told.home.json("notify", "route", "--owner", "payments", "--rule", "rotation")
    assert (chosen["route"], chosen["group"]) == ("default", "payments/info")
    assert told.home.json("notify", "route", "--owner", "nobody")["to"] == []
    listed = told.home.run("notify", "list").out
    assert "critical or worse" in listed
    told.home.edit("log: {plugin: log}", "log: {plugin: log, loud: true}")
    assert "unknown key" in told.home.run("notify", "list", code=2).err
