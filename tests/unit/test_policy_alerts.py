"""What people hear of alerts: gathered, held, repeated, ended, and never twice."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from credmgr.model.credential import Environment, Window
from credmgr.model.finding import Alert, Finding, Severity
from credmgr.model.routing import Grouping, Match, Pace, QuietHours, Route
from credmgr.policy.digest import ITEMS, LISTED
from credmgr.policy.telling import LONGEST_HOLD, hold
from tests.alert_world import DAY, HOUR, MAIL, MINUTE, PAGER, SECOND, Alerts, Channel, alerts_in

EVERY_DAY = frozenset(range(1, 8))
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Alerts]:
    with alerts_in(tmp_path) as made:
        yield made


# --- gathered


def test_an_alert_is_told_once_after_it_has_waited_for_others(world: Alerts) -> None:
    world.raises(world.alert())
    assert world.turn() == 0
    world.run(HOUR)
    (heard,) = world.mail.heard
    assert (heard.key, heard.title, heard.body) == (
        "key-age/app",
        "key-age/app is amiss",
        "Mend it.",
    )
    assert heard.id


def test_a_thousand_that_fail_at_once_make_a_few_messages(world: Alerts) -> None:
    world.channels[PAGER] = Channel()
    owners = ("payments", "search")
    for number in range(1000):
        severity = Severity.CRITICAL if number % 2 else Severity.WARNING
        owner = owners[number % 4 // 2]
        world.raises(world.alert(f"rotation/app-{number}/operator", owner=owner, severity=severity))
        if number % 100 == 0:
            world.clock.advance(SECOND / 2)
            world.turn()
    world.run(HOUR)
    assert len(world.mail.heard) + len(world.channels[PAGER].heard) <= 10
    told = [item.key for message in world.mail.heard for item in message.items]
    assert sorted(told) == sorted({f"rotation/app-{number}/operator" for number in range(1000)})


def test_a_digest_says_how_many_names_the_first_and_carries_the_rest(world: Alerts) -> None:
    count = ITEMS + 5
    world.raises(*(world.alert(f"key-age/{number:04}") for number in range(count)))
    world.run(MINUTE)
    (heard,) = world.mail.heard
    assert heard.title == f"{count} alerts for payments, warning at worst: {count} new"
    *lines, rest = heard.body.splitlines()
    assert lines[:2] == ["- warning: key-age/0000 is amiss [key-age/0000]", "  Mend it."]
    assert lines[2 * LISTED - 2] == f"- warning: key-age/{LISTED - 1:04} is amiss [key-age/0019]"
    assert rest == f"… and {count - LISTED} more; `credmgr findings list` has them all"
    assert (heard.key, heard.owner, len(heard.items)) == (
        "digest/payments/warning",
        "payments",
        ITEMS,
    )
    assert heard.facts == {"alerts": str(count)}


def test_a_digest_of_several_owners_is_for_none_of_them(world: Alerts) -> None:
    world.pace = replace(world.pace, group_by=(Grouping.ENVIRONMENT, Grouping.RULE))
    place = {"environment": Environment.PRODUCTION}
    world.raises(
        world.alert("scope/a", owner="search", severity=Severity.CRITICAL, **place),
        world.alert("scope/b", **place),
        world.alert("scope/c"),
    )
    world.run(MINUTE)
    alone, both = sorted(world.mail.heard, key=lambda one: len(one.items))
    assert alone.key == "scope/c"
    assert both.title == "2 alerts, critical at worst: 2 new"
    assert (both.owner, both.environment, both.severity) == ("", *place.values(), Severity.CRITICAL)
    assert [one.key for one in both.items] == ["scope/a", "scope/b"]


TWO_PACKS = ("caseforge.in-production/app", "default.in-production/app")


def of_two_packs(world: Alerts) -> tuple[Alert, ...]:
    """What two rules of different severity say of one cause."""
    worst, other = TWO_PACKS
    said = "app: it is an API key in production"
    return (
        world.alert(other, title=said, body="What to do: use OAuth"),
        world.alert(worst, title=said, body="What to do: OAuth!", severity=Severity.CRITICAL),
    )


def test_what_two_packs_say_of_one_cause_is_one_message_until_its_end(world: Alerts) -> None:
    both = of_two_packs(world)
    world.raises(*both)
    world.run(DAY + MINUTE, MINUTE)
    world.raises(
        *(
            replace(one, title=f"Resolved: {one.title}", body="Ended.", resolved=True)
            for one in both
        )
    )
    world.run(HOUR)
    opened, reminder, ended = world.mail.heard
    assert (opened.key, opened.severity, opened.title) == (
        TWO_PACKS[0],
        Severity.CRITICAL,
        "app: it is an API key in production",
    )
    assert opened.body == f"What to do: OAuth!\nAlso: warning [{TWO_PACKS[1]}]"
    assert reminder.title == f"Still open: {opened.title}"
    assert (ended.title, ended.resolved) == (f"Resolved: {opened.title}", True)
    assert [[one.key for one in each.items] for each in world.mail.heard] == [[*TWO_PACKS]] * 3


def test_a_digest_names_one_cause_once_with_what_to_do(world: Alerts) -> None:
    world.raises(*of_two_packs(world), world.alert(severity=Severity.CRITICAL, body=""))
    world.run(MINUTE)
    (heard,) = world.mail.heard
    assert heard.body.splitlines() == [
        f"- critical: app: it is an API key in production [{TWO_PACKS[0]}] [{TWO_PACKS[1]}]",
        "  What to do: OAuth!",
        "- critical: key-age/app is amiss [key-age/app]",
    ]
    assert heard.title == "3 alerts for payments, critical at worst: 3 new"


def test_a_channel_that_hears_of_one_of_the_two_is_told_of_that_one(world: Alerts) -> None:
    world.channels[PAGER] = Channel()
    world.routes = (
        Route(Match(severity=Severity.CRITICAL), (PAGER,), world.pace),
        Route(Match(), (MAIL,), world.pace),
    )
    world.raises(*of_two_packs(world))
    world.run(HOUR)
    heard = {name: [one.key for one in said.heard] for name, said in world.channels.items()}
    assert heard == {PAGER: [TWO_PACKS[0]], MAIL: [TWO_PACKS[1]]}


def test_two_messages_of_one_group_are_apart(world: Alerts) -> None:
    for number in range(100):
        world.raises(world.alert(f"key-age/{number}"))
        world.run(SECOND * 6, SECOND * 2)
    world.run(HOUR)
    assert len(world.mail.heard) <= 4


def test_more_than_one_pass_takes_still_makes_one_message(
    world: Alerts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("credmgr.policy.alerts.ROUTED", 3)
    world.raises(*(world.alert(f"key-age/{number}") for number in range(8)))
    world.run(MINUTE)
    assert [len(one.items) for one in world.mail.heard] == [8]


# --- changed, ended, repeated


def test_what_is_raised_again_with_the_same_words_is_no_news(world: Alerts) -> None:
    for _ in range(5):
        world.raises(world.alert())
        world.run(HOUR)
    assert len(world.mail.heard) == 1


def test_a_change_is_told_and_then_the_end(world: Alerts) -> None:
    world.raises(world.alert())
    world.run(HOUR)
    world.raises(world.alert(severity=Severity.CRITICAL, title="worse"))
    world.run(HOUR)
    world.ends(severity=Severity.CRITICAL)
    world.run(HOUR)
    assert world.mail.titles == ["key-age/app is amiss", "worse", "key-age/app is well again"]
    assert [one.resolved for one in world.mail.heard] == [False, False, True]
    world.run(3 * DAY, HOUR)
    assert len(world.mail.heard) == 3


def test_a_finding_that_is_resolved_takes_its_alert_along(world: Alerts) -> None:
    ledger = world.store.ledger
    ledger.open_finding(Finding("key-age/app", Severity.WARNING, "old", world.clock.now()), "test")
    world.raises(world.alert())
    world.run(HOUR)
    ledger.resolve_finding("key-age/app", "test", world.clock.now())
    world.run(HOUR)
    last = world.mail.heard[-1]
    assert (last.title, last.resolved) == ("Resolved: key-age/app is amiss", True)
    assert last.body == "It has ended; nothing is left to do."


def test_what_ends_before_it_was_told_is_never_told(world: Alerts) -> None:
    world.raises(world.alert())
    world.turn()
    world.ends()
    world.run(DAY, HOUR)
    world.ends("key-age/never-raised")
    world.run(HOUR)
    assert world.mail.heard == []


def test_people_are_reminded_of_what_stays_open(world: Alerts) -> None:
    world.raises(world.alert())
    world.run(3 * DAY, HOUR)
    assert world.mail.titles == ["key-age/app is amiss"] + ["Still open: key-age/app is amiss"] * 2


def test_nobody_is_reminded_of_what_somebody_has_acknowledged(world: Alerts) -> None:
    ledger = world.store.ledger
    ledger.open_finding(Finding("key-age/app", Severity.WARNING, "old", world.clock.now()), "test")
    world.raises(world.alert(), world.alert("key-age/other"))
    world.run(HOUR)
    ledger.acknowledge_finding("key-age/app", "operator:ann")
    world.run(2 * DAY, HOUR)
    assert len(world.mail.heard) == 3
    assert {one.key for one in world.mail.heard[1:]} == {"key-age/other"}


def test_a_route_may_never_remind(world: Alerts) -> None:
    world.pace = replace(world.pace, remind_every=None)
    world.raises(world.alert())
    world.run(9 * DAY, HOUR)
    assert len(world.mail.heard) == 1


def test_what_happened_once_has_no_end_and_no_reminder(world: Alerts) -> None:
    world.raises(world.alert("orphan/app/1", once=True))
    world.run(3 * DAY, HOUR)
    assert world.mail.titles == ["orphan/app/1 is amiss"]
    world.raises(world.alert("orphan/app/1", once=True))
    world.run(HOUR)
    assert len(world.mail.heard) == 1


def test_what_happened_once_may_happen_otherwise(world: Alerts) -> None:
    world.raises(world.alert("orphan/app/1", once=True))
    world.run(HOUR)
    world.raises(world.alert("orphan/app/1", once=True, title="again"))
    world.run(HOUR)
    assert world.mail.titles == ["orphan/app/1 is amiss", "again"]


def test_what_comes_and_goes_is_not_told_each_time(world: Alerts) -> None:
    for _ in range(60):
        world.raises(world.alert())
        world.run(MINUTE * 2)
        world.ends()
        world.run(MINUTE * 2)
    assert len(world.mail.heard) <= 6
    world.run(2 * DAY, HOUR)
    assert world.mail.heard[-1].resolved


def test_what_stayed_away_for_a_day_is_not_held_longer(world: Alerts) -> None:
    for _ in range(4):
        world.raises(world.alert())
        world.run(MINUTE * 2)
        world.ends()
        world.run(MINUTE * 2)
    world.clock.advance(2 * DAY)
    world.run(MINUTE)
    world.raises(world.alert())
    world.run(HOUR)
    world.ends()
    world.run(MINUTE)
    assert world.mail.heard[-1].resolved


def test_an_end_is_held_longer_the_more_often_it_was_none() -> None:
    pace = Pace()
    spans = [hold(flaps, pace) for flaps in range(4)]
    assert spans == [pace.group_wait, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE]
    assert hold(99, pace) == LONGEST_HOLD
    assert hold(1, Pace(group_wait=HOUR)) == HOUR


def test_ends_and_news_share_a_message(world: Alerts) -> None:
    world.raises(world.alert("key-age/a"), world.alert("key-age/b"))
    world.run(HOUR)
    world.ends("key-age/a")
    world.raises(world.alert("key-age/c"))
    world.run(HOUR)
    last = world.mail.heard[-1]
    assert last.title == "2 alerts for payments, warning at worst: 1 new, 1 resolved"
    assert [one.key for one in last.items] == ["key-age/c", "key-age/a"]
    assert not last.resolved


def test_a_message_of_ends_only_is_one_itself(world: Alerts) -> None:
    world.raises(world.alert("key-age/a"), world.alert("key-age/b"))
    world.run(HOUR)
    world.ends("key-age/a")
    world.ends("key-age/b")
    world.run(HOUR)
    assert world.mail.heard[-1].resolved
    assert world.mail.heard[-1].title == "2 alerts for payments, warning at worst: 2 resolved"


# --- held


def quiet(start: str, end: str, days: frozenset[int] = EVERY_DAY) -> QuietHours:
    return QuietHours(Window(days, time.fromisoformat(start), time.fromisoformat(end)), BERLIN)


def test_quiet_hours_hold_all_but_what_is_critical(world: Alerts) -> None:
    world.pace = replace(world.pace, quiet=quiet("22:00", "07:00"))
    world.raises(world.alert("key-age/a"), world.alert("key-age/b", severity=Severity.CRITICAL))
    world.run(5 * HOUR, MINUTE)  # the clock begins at 01:00 in Berlin
    assert [one.key for one in world.mail.heard] == ["key-age/b"]
    world.run(2 * HOUR, MINUTE)
    assert [one.key for one in world.mail.heard] == ["key-age/b", "key-age/a"]


def test_what_ends_in_quiet_hours_disturbs_nobody(world: Alerts) -> None:
    world.pace = replace(world.pace, quiet=quiet("22:00", "07:00"))
    world.raises(world.alert())
    world.run(HOUR)
    world.ends()
    world.run(12 * HOUR, MINUTE * 10)
    assert world.mail.heard == []


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("2026-03-28T23:30:00", "2026-03-29T05:00:00"),  # the night that is an hour short
        ("2026-10-24T23:30:00", "2026-10-25T06:00:00"),  # and the one that is an hour long
        ("2026-06-30T20:00:00", "2026-07-01T05:00:00"),
        ("2026-06-30T19:59:59", None),
        ("2026-07-01T05:00:00", None),
    ],
)
def test_quiet_hours_go_by_the_clock_on_the_wall(moment: str, end: str | None) -> None:
    found = quiet("22:00", "07:00").end(datetime.fromisoformat(moment).replace(tzinfo=UTC))
    assert found == (end and datetime.fromisoformat(end).replace(tzinfo=UTC))


def test_quiet_hours_may_be_those_of_some_days() -> None:
    weekend = quiet("00:00", "00:00", frozenset({6, 7}))
    friday = datetime(2026, 7, 3, 12, tzinfo=UTC)
    assert weekend.end(friday) is None
    assert weekend.end(friday + DAY) == datetime(2026, 7, 4, 22, tzinfo=UTC)


# --- routed


def test_the_first_route_that_takes_an_alert_decides(world: Alerts) -> None:
    world.channels[PAGER] = Channel()
    world.routes = (
        Route(Match(severity=Severity.CRITICAL), (PAGER,), world.pace),
        Route(Match(rules=("noise",)), (), world.pace),
        Route(
            Match(owners=("pay*",), environments=frozenset({Environment.TEST})), (MAIL,), world.pace
        ),
        Route(Match(), (PAGER,), world.pace),
    )
    world.raises(
        world.alert("a/critical", severity=Severity.CRITICAL),
        world.alert("noise/x"),
        world.alert("b/test", environment=Environment.TEST),
        world.alert("c/rest", environment=Environment.PRODUCTION),
        world.alert("d/other", environment=Environment.TEST, owner="search"),
    )
    world.run(HOUR)
    heard = [item.key for one in world.channels[PAGER].heard for item in one.items or (one,)]
    assert sorted(heard) == ["a/critical", "c/rest", "d/other"]
    assert [one.key for one in world.mail.heard] == ["b/test"]


def test_who_heard_the_beginning_hears_the_end(world: Alerts) -> None:
    world.channels[PAGER] = Channel()
    world.routes = (Route(Match(severity=Severity.CRITICAL), (PAGER,), world.pace),)
    world.raises(world.alert())
    world.run(HOUR)
    world.raises(world.alert(severity=Severity.CRITICAL, title="worse"))
    world.run(2 * DAY, HOUR)
    world.ends(severity=Severity.CRITICAL)
    world.run(HOUR)
    assert world.mail.titles == ["key-age/app is amiss", "key-age/app is well again"]
    assert world.channels[PAGER].titles == [
        "key-age/app is amiss",
        "worse",
        "Still open: worse",
        "key-age/app is well again",
    ]


def test_a_channel_that_was_taken_out_of_the_manifest_is_forgotten(world: Alerts) -> None:
    world.channels[PAGER] = Channel()
    world.raises(world.alert(), world.alert("key-age/b"))
    world.turn()
    gone = world.channels.pop(PAGER)
    world.raises(world.alert("key-age/b", title="worse"))
    world.run(HOUR)
    assert len(world.mail.heard) == 1
    world.channels[PAGER] = gone
    world.run(2 * DAY, HOUR)
    assert gone.heard == []


def test_without_channels_nothing_piles_up(world: Alerts) -> None:
    world.channels.clear()
    world.raises(world.alert())
    world.run(MINUTE)
    assert not world.store.outbox.has_news(world.clock.now() + DAY)


def test_what_has_ended_is_forgotten_in_time(world: Alerts) -> None:
    world.raises(world.alert())
    world.run(MINUTE)
    world.ends()
    world.run(HOUR)
    world.clock.advance(timedelta(days=8))
    world.store.outbox.forget(world.clock.now())
    with world.store.outbox.desk() as desk:
        assert desk.raised(["key-age/app"]) == {}
        assert desk.known(["key-age/app"]) == []
        assert desk.last(MAIL, "payments/warning") is None


def test_a_telling_of_an_alert_that_is_gone_goes_too(world: Alerts) -> None:
    world.raises(world.alert())
    world.turn()
    world.clock.advance(MINUTE)
    with world.store.outbox._database.write() as tx:
        tx.connection.exec_driver_sql("DELETE FROM alerts")
    assert world.compose() == 0
    with world.store.outbox.desk() as desk:
        assert desk.known(["key-age/app"]) == []
