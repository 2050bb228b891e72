"""Messages reach their channels at least once, and a channel that is dead holds up no other."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event as Flag

import pytest

from credmgr.errors import ConfigError, NotifierError
from credmgr.model.finding import Alert, Severity
from credmgr.model.names import Name
from credmgr.model.routing import Match, Route
from credmgr.plugins.notifier import Notifier, NotifierRefused
from credmgr.policy.delivery import LONGEST_RETRY, REFUSALS, Delivery, pause
from tests.alert_world import DAY, HOUR, MAIL, MINUTE, PAGER, SECOND, Alerts, Channel, alerts_in

BROKEN = "alert.channel/mail"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Alerts]:
    with alerts_in(tmp_path) as made:
        made.pace = replace(made.pace, group_wait=timedelta(), group_interval=timedelta())
        yield made


@pytest.fixture
def both(world: Alerts) -> Alerts:
    world.channels[PAGER] = Channel()
    return world


def findings(world: Alerts) -> list[str]:
    return [one.key for one in world.store.ledger.findings(open_only=True)]


def test_a_dead_channel_holds_up_no_other_and_causes_no_repeats(both: Alerts) -> None:
    both.mail.problem = NotifierError("no answer")
    both.raises(both.alert())
    both.run(HOUR)
    assert [one.key for one in both.channels[PAGER].heard] == ["key-age/app", BROKEN]
    both.mail.problem = None
    both.run(2 * HOUR)
    assert [one.key for one in both.mail.heard] == ["key-age/app"]
    assert [one.key for one in both.channels[PAGER].heard] == ["key-age/app", BROKEN, BROKEN]
    assert both.channels[PAGER].heard[-1].resolved


def test_a_broken_channel_is_a_finding_until_it_works(both: Alerts) -> None:
    both.mail.problem = NotifierError("the mail server does not answer", hint="start it")
    both.raises(both.alert())
    both.turn()
    assert findings(both) == [BROKEN]
    (state, _) = both.store.outbox.states([MAIL, PAGER])
    assert (state.waiting, state.attempts, state.why) == (1, 1, "the mail server does not answer")
    assert state.retry_at == both.clock.now() + pause(0)
    both.run(MINUTE)
    told = both.channels[PAGER].heard[-1]
    assert told.title == "alerts do not get through mail: the mail server does not answer"
    assert told.body == "start it\n`credmgr notify test mail` tries it."
    assert told.severity is Severity.WARNING
    both.mail.problem = None
    both.run(HOUR)
    assert findings(both) == []
    (state, _) = both.store.outbox.states([MAIL, PAGER])
    assert (state.waiting, state.attempts, state.retry_at) == (0, 0, None)
    assert state.delivered_at


def test_a_channel_that_fails_once_disturbs_nobody(both: Alerts) -> None:
    both.pace = replace(both.pace, group_wait=SECOND * 30)
    both.raises(both.alert())
    both.mail.problem = NotifierError()
    both.run(SECOND * 35, SECOND)
    both.mail.problem = None
    both.run(MINUTE, SECOND)
    both.run(HOUR)
    assert [one.key for one in both.channels[PAGER].heard] == ["key-age/app"]


def test_that_a_channel_lost_something_critical_is_critical(both: Alerts) -> None:
    both.mail.problem = NotifierError()
    both.raises(both.alert(severity=Severity.CRITICAL))
    both.run(MINUTE)
    assert both.channels[PAGER].heard[-1].severity is Severity.CRITICAL


def test_the_only_channel_of_a_route_is_told_of_through_the_others(both: Alerts) -> None:
    both.routes = (Route(Match(), (MAIL,), both.pace),)
    both.mail.problem = NotifierError()
    both.raises(both.alert())
    both.run(MINUTE)
    assert [one.key for one in both.channels[PAGER].heard] == [BROKEN]


def test_the_only_channel_there_is_leaves_a_finding(world: Alerts) -> None:
    world.mail.problem = NotifierError()
    world.raises(world.alert())
    world.run(HOUR)
    assert findings(world) == [BROKEN]
    world.mail.problem = None
    world.run(2 * HOUR)
    assert (findings(world), world.mail.titles) == ([], ["key-age/app is amiss"])


def test_what_cannot_be_opened_is_a_channel_that_fails(world: Alerts) -> None:
    def missing(_: Name) -> Notifier:
        raise ConfigError("env:PASSWORD: not set", hint="set it")

    world.raises(world.alert())
    world.compose()
    one = Delivery(world.store.outbox, world.store.ledger, world.clock, "daemon@test")
    assert one.run(MAIL, missing) == 0
    (state,) = world.store.outbox.states([MAIL])
    assert (state.attempts, state.why) == (1, "env:PASSWORD: not set")


def test_pauses_grow_up_to_a_bound() -> None:
    assert [pause(failures) / SECOND for failures in range(4)] == [5, 10, 20, 40]
    assert pause(50) == LONGEST_RETRY


def test_a_refused_message_lets_the_next_one_through_and_is_given_up_in_the_end(
    world: Alerts,
) -> None:
    class Picky(Channel):
        def deliver(self, alert: Alert) -> None:
            if alert.owner == "payments":
                raise NotifierRefused("413: too large")
            super().deliver(alert)

    world.channels[MAIL] = Picky()
    world.raises(world.alert(), world.alert("key-age/other", owner="search"))
    world.run(HOUR)
    assert [one.key for one in world.mail.heard] == ["key-age/other"]
    actions = [one.event.action for one in world.store.audit.records(0, 999)]
    assert actions.count("alert.refused") == REFUSALS - 1
    assert actions.count("alert.dropped") == 1


def test_a_repeated_delivery_has_the_same_id(world: Alerts) -> None:
    world.mail.problem, world.mail.loses_answers = NotifierError("the answer was lost"), True
    world.raises(world.alert())
    world.turn()
    world.mail.problem = None
    world.run(HOUR)
    first, second = world.mail.heard
    assert first == second
    assert first.id


def test_a_process_that_dies_between_sending_and_saying_so_sends_it_again(world: Alerts) -> None:
    class Killed(BaseException):
        pass

    class Dying(Channel):
        def deliver(self, alert: Alert) -> None:
            super().deliver(alert)
            raise Killed

    dying = world.channels[MAIL] = Dying()
    world.raises(world.alert())
    with pytest.raises(Killed):
        world.turn()
    world.channels[MAIL] = Channel()
    world.store = world.open("another")
    world.run(HOUR)
    assert [one.id for one in dying.heard] == [one.id for one in world.mail.heard]


def test_two_daemons_send_each_message_once(world: Alerts) -> None:
    one, two = world.dispatcher("one"), world.dispatcher("two")
    for number in range(40):
        world.raises(world.alert(f"key-age/{number}", owner=f"team-{number}"))
    for _ in range(20):
        for each in (one, two):
            each.tick(world.routing, world.open_channel)
    for _ in range(5):
        for each in (one, two):
            assert each.settle(timedelta(seconds=20))
            each.tick(world.routing, world.open_channel)
    assert one.close(timedelta(seconds=20))
    assert two.close(timedelta(seconds=20))
    assert sorted(one.owner for one in world.mail.heard) == sorted(f"team-{n}" for n in range(40))


def test_a_channel_is_left_to_the_daemon_that_is_at_it(world: Alerts) -> None:
    world.raises(world.alert())
    world.compose()
    other = world.open("other").outbox
    assert other.claim(MAIL, world.clock.now(), HOUR) == 0
    assert world.deliver(MAIL) == 0
    assert world.store.outbox.to_send(world.clock.now()) == []
    other.release(MAIL)
    assert world.deliver() == 1


def test_a_daemon_that_is_overtaken_stops_sending(world: Alerts) -> None:
    other = world.open("other").outbox

    class Slow(Channel):
        def deliver(self, alert: Alert) -> None:
            super().deliver(alert)
            world.clock.advance(HOUR)
            assert other.claim(MAIL, world.clock.now(), HOUR) is not None

    world.channels[MAIL] = Slow()
    world.raises(world.alert(), world.alert("key-age/other", owner="search"))
    world.compose()
    assert world.deliver() == 1


def test_a_dispatcher_that_is_closed_sends_no_more(world: Alerts) -> None:
    world.raises(world.alert())
    world.compose()
    one = Delivery(world.store.outbox, world.store.ledger, world.clock, "daemon@test")
    one.stopping.set()
    assert one.run(MAIL, world.open_channel) == 0


def test_a_channel_that_hangs_keeps_only_its_own_thread(both: Alerts) -> None:
    release, heard = Flag(), Flag()

    class Hanging(Channel):
        def deliver(self, alert: Alert) -> None:
            assert release.wait(20)
            super().deliver(alert)

    class Telling(Channel):
        def deliver(self, alert: Alert) -> None:
            super().deliver(alert)
            heard.set()

    both.channels = {MAIL: Hanging(), PAGER: Telling()}
    one = both.dispatcher()
    both.raises(both.alert())
    one.tick(both.routing, both.open_channel)
    assert heard.wait(20)
    both.raises(both.alert("key-age/other", owner="search"))
    for _ in range(50):
        one.tick(both.routing, both.open_channel)
        Flag().wait(0.02)
        if len(both.channels[PAGER].heard) == 2:
            break
    assert len(both.channels[PAGER].heard) == 2
    assert not one.settle(timedelta())
    release.set()
    assert one.close(timedelta(seconds=20))


def test_a_message_to_a_channel_that_the_manifest_lost_stays_where_it_is(world: Alerts) -> None:
    world.raises(world.alert())
    world.compose()
    gone = world.channels.pop(MAIL)
    one = world.dispatcher()
    one.tick(world.routing, world.open_channel)
    assert one.close(timedelta(seconds=20))
    assert gone.heard == []
    assert world.store.outbox.to_send(world.clock.now()) == [MAIL]


def test_what_a_delivery_ends_with_comes_to_light_at_the_next_tick(world: Alerts) -> None:
    def unavailable(_: Name) -> Notifier:
        raise RuntimeError("a bug")

    one = world.dispatcher()
    world.raises(world.alert())
    one.tick(world.routing, unavailable)
    assert one.settle(timedelta(seconds=20))
    with pytest.raises(RuntimeError, match="a bug"):
        one.tick(world.routing, world.open_channel)
    assert one.close(timedelta(seconds=20))


def test_a_message_that_nobody_took_in_a_week_is_dropped_and_noted(world: Alerts) -> None:
    world.mail.problem = NotifierError()
    world.raises(world.alert())
    world.run(8 * DAY, HOUR)
    world.dispatcher().tick(world.routing, world.open_channel)
    actions = [one.event.action for one in world.store.audit.records(0, 9999)]
    assert "alert.dropped" in actions
