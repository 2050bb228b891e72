"""The section `alerts`: what becomes of it, and what is wrong with it at its place."""

from datetime import time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from credmgr.model.credential import Environment, Window
from credmgr.model.finding import Severity
from credmgr.model.names import Name
from credmgr.model.routing import Grouping, Match, Pace, QuietHours, Route, Routing
from tests.manifest_world import GOOD, read, refusals

CHANNELS = "notifiers:\n  log: {plugin: bell}\n  mail: {plugin: bell}\n"
LOG, MAIL = Name("log"), Name("mail")


def routing(folder: Path, text: str) -> Routing:
    return read(folder, GOOD + CHANNELS + text).alerts


def test_without_a_section_every_channel_hears_of_everything(tmp_path: Path) -> None:
    assert routing(tmp_path, "") == Routing((LOG, MAIL), (), Route(Match(), (LOG, MAIL), Pace()))


def test_routes_say_what_they_do_otherwise(tmp_path: Path) -> None:
    found = routing(
        tmp_path,
        """
alerts:
  remind_every: never
  group_wait: 0s
  routes:
    - match: {owner: "pay*", environment: [production, staging], severity: critical, rule: [a, b]}
      to: [mail]
      group_by: [owner]
      quiet_hours: {days: [sat], start: "22:00", end: "06:30", zone: Europe/Berlin}
    - match: {environment: test}
      to: []
      remind_every: 2h
  default: [log]
""",
    )
    pace = Pace(group_wait=timedelta(), remind_every=None)
    window = Window(frozenset({6}), time(22), time(6, 30))
    assert found.default == Route(Match(), (LOG,), pace)
    production, test = found.routes
    assert production.match == Match(
        ("pay*",),
        frozenset({Environment.PRODUCTION, Environment.STAGING}),
        Severity.CRITICAL,
        ("a", "b"),
    )
    assert production.channels == (MAIL,)
    assert production.pace == Pace(
        group_by=(Grouping.OWNER,),
        group_wait=timedelta(),
        remind_every=None,
        quiet=QuietHours(window, ZoneInfo("Europe/Berlin")),
    )
    assert test == Route(
        Match(environments=frozenset({Environment.TEST})),
        (),
        Pace(group_wait=timedelta(), remind_every=timedelta(hours=2)),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{default: [mial]}", "18:20: no notifier `mial`; did you mean `mail`?"),
        ("{routes: [{to: [post]}]}", "18:25: no notifier `post`; declared: `log`, `mail`"),
        ("{routes: [{match: {}}]}", "18:19: missing key `to`; add `to: [log]`"),
        (
            "{routes: [{to: [log]}, {to: [mail]}]}",
            (
                "18:32: no alert comes to this route: one before it takes them all; put it first,"
                " or give a `match` to credmgr.yaml:18:19"
            ),
        ),
        (
            "{routes: [{to: [log], match: {severity: bad}}]}",
            "18:49: `bad` is not one of `info`, `warning`, `critical`",
        ),
        (
            "{routes: [{to: [log], match: {onwer: x}}]}",
            "18:39: unknown key `onwer`; did you mean `owner`?",
        ),
        (
            "{remind_every: sometimes}",
            "18:24: not a duration; write one such as 90d, 24h, 1h30m or 20s",
        ),
        (
            "{group_by: [team]}",
            "18:21: `team` is not one of `owner`, `severity`, `environment`, `rule`",
        ),
        ('{quiet_hours: {start: "22:00"}}', '18:10: missing key `end`; add `end: "07:00"`'),
        (
            '{quiet_hours: {start: "22:00", end: "7", zone: UTC}}',
            '18:45: `7` is not a time of day; write "00:00" to "23:59", quoted',
        ),
        ("[mail]", "18:9: expected a mapping, found a list"),
        ("{routes: {to: [log]}}", "18:18: expected a list, found a mapping"),
        ("{routes: [5]}", "18:19: expected a mapping, found `5`"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(tmp_path: Path, text: str, problem: str) -> None:
    found = refusals(tmp_path, GOOD + CHANNELS + f"alerts: {text}\n")
    assert found == [f"credmgr.yaml:{problem}"]
