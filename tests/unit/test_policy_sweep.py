"""From rules to findings: opened, escalated, exempted, resolved; and whom a sweep looks at."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest

from credmgr.model.credential import Environment, Kind
from credmgr.model.finding import Finding, NextLook, Settlement, Severity, Standing
from credmgr.model.names import Name
from credmgr.model.rotation import State
from credmgr.model.subject import Subject
from credmgr.policy import sweep as sweeping
from credmgr.policy.custom import Custom, Unclear, custom
from credmgr.policy.digest import ENDED
from credmgr.policy.judging import Judge
from credmgr.policy.rule import Active, Found, Nothing, Pack, Rule, Scope
from credmgr.policy.rules.catalogue import CATALOGUE
from credmgr.policy.settling import alert_of, counts
from credmgr.policy.sweep import Sweep, Swept
from credmgr.testing.clock import FakeClock
from tests.policy_world import DAY, KEY, NOW, MemoryLedger, key

OLD: Final = "p.max-age/billing/key"
NAME: Final = KEY.name


def pack(*codes: str, only: Scope | None = None) -> Pack:
    rules = []
    for code in codes:
        rule = CATALOGUE[code]
        active = Active(f"p.{code}", rule, rule.parameters(), rule.severity, rule.source)
        rules.append(active if only is None else replace(active, only=only))
    return Pack("p", "A pack", tuple(rules))


class World:
    """A ledger, a clock and a sweep over them."""

    def __init__(self, *subjects: Subject, rules: Sequence[str] = ("max-age",)) -> None:
        self.ledger = MemoryLedger(*subjects)
        self.clock = FakeClock(NOW)
        self.sweep = Sweep(self.ledger, Judge([pack(*rules)]), self.clock, "tester")

    def actions(self) -> list[str]:
        done = [event.action for event in self.ledger.events]
        self.ledger.events.clear()
        return done

    def told(self) -> list[str]:
        titles = [alert.title for alert in self.ledger.alerts]
        self.ledger.alerts.clear()
        return titles


@pytest.fixture
def old() -> World:
    """A key that is too old, looked at once."""
    world = World(key(issued_at=NOW - 100 * DAY, looks_at=NOW))
    assert world.sweep.tick() == Swept(1, opened=1)
    assert world.actions() == ["finding.opened"]
    assert world.told() == [world.ledger.open[OLD].text]
    return world


class TestFindings:
    def test_one_opens_once_and_knows_all_about_it(self, old: World) -> None:
        finding = old.ledger.open[OLD]
        assert (finding.rule, finding.credential) == ("p.max-age", NAME)
        assert (finding.owner, finding.environment) == ("payments", "development")
        assert finding.remedy.startswith("credmgr rotate billing/key")
        assert finding.source.startswith("CIS")
        assert old.sweep.everything() == Swept(1)
        assert old.actions() == []

    def test_it_is_looked_at_again_when_it_becomes_critical_and_then_told_again(
        self, old: World
    ) -> None:
        old.ledger.edit(OLD, acknowledged_by="anna", snoozed_until=NOW + 300 * DAY)
        assert old.ledger.subjects_by_name[NAME].looks_at == NOW + 80 * DAY
        old.clock.advance(80 * DAY)
        assert old.sweep.tick() == Swept(1, changed=1)
        finding = old.ledger.open[OLD]
        assert finding.severity is Severity.CRITICAL
        assert (finding.acknowledged_by, finding.snoozed_until) == ("", None)
        assert finding.opened_at == NOW
        assert old.actions() == ["finding.escalated"]
        assert len(old.told()) == 1

    def test_it_resolves_when_its_cause_is_gone_and_opens_anew_later(self, old: World) -> None:
        old.ledger.change(NAME, issued_at=NOW)
        assert old.sweep.tick() == Swept(1, resolved=1)
        assert old.ledger.open == {}
        assert old.actions() == ["finding.resolved"]
        (told,) = old.ledger.alerts
        assert told.title.startswith("Resolved: billing/key")
        assert told.body == ENDED
        assert old.ledger.subjects_by_name[NAME].looks_at == NOW + 90 * DAY
        old.clock.advance(90 * DAY)
        assert old.sweep.tick() == Swept(1, opened=1)
        assert len(old.ledger.all) == 2

    def test_a_new_owner_is_noted_and_nobody_is_told(self, old: World) -> None:
        old.ledger.change(NAME, owner="reporting")
        assert old.sweep.tick() == Swept(1, changed=1)
        assert old.ledger.open[OLD].owner == "reporting"
        assert old.actions() == ["finding.changed"]
        assert old.told() == []

    def test_another_step_of_the_same_severity_is_told(self) -> None:
        world = World(key(expires_at=NOW + 14 * DAY, looks_at=NOW), rules=["expiry"])
        world.sweep.tick()
        world.told()
        world.clock.advance(7 * DAY)
        assert world.sweep.tick().changed == 1
        assert world.told() == ["billing/key: its secret expires on 2026-06-15, within 7 days"]

    def test_one_that_the_rules_did_not_find_is_left_alone(self, old: World) -> None:
        other = Finding("token/billing/key", Severity.WARNING, "x", NOW, credential=NAME)
        old.ledger.all.append(other)
        assert old.sweep.everything() == Swept(1)
        assert other.key in old.ledger.open

    def test_what_the_manifest_declares_no_more_has_no_findings(self, old: World) -> None:
        old.ledger.change(NAME, active=False)
        assert old.sweep.tick() == Swept(1, resolved=1)
        assert old.ledger.subjects_by_name[NAME].looks_at is None

    @pytest.mark.parametrize(
        ("issued_at", "said"),
        [(NOW, "its secret lives until: credmgr revoke billing/key"), (None, ENDED)],
    )
    def test_the_end_of_what_was_only_taken_out_of_the_manifest_says_that_its_secret_lives(
        self, old: World, issued_at: datetime | None, said: str
    ) -> None:
        old.ledger.change(NAME, active=False, issued_at=issued_at)
        old.sweep.tick()
        (told,) = old.ledger.alerts
        assert told.resolved
        assert said in told.body

    def test_what_somebody_else_tells_is_found_and_not_told_twice(self) -> None:
        parked = key(rotation=State.OPERATOR, rotation_since=NOW, looks_at=NOW)
        world = World(parked, rules=["rotation-parked"])
        assert world.sweep.tick().opened == 1
        assert world.told() == []
        world.clock.advance(7 * DAY)
        world.sweep.tick()
        assert len(world.told()) == 1


class TestExemptions:
    def exempt(self, world: World, length: timedelta = 9 * DAY) -> None:
        until = world.clock.now() + length
        said = {"exempt_until": until, "exempted_by": "anna", "exempted_why": "legacy"}
        world.ledger.edit(OLD, **said)
        world.ledger.change(NAME)
        world.sweep.tick()

    def test_one_ends_by_itself_and_is_told_then(self, old: World) -> None:
        self.exempt(old)
        assert old.ledger.open[OLD].standing(NOW) is Standing.EXEMPT
        assert not counts(old.ledger.open[OLD], NOW)
        assert old.ledger.subjects_by_name[NAME].looks_at == NOW + 9 * DAY
        assert old.told() == []
        old.clock.advance(9 * DAY)
        assert old.sweep.tick() == Swept(1, changed=1)
        finding = old.ledger.open[OLD]
        assert (finding.exempt_until, finding.exempted_by, finding.exempted_why) == (None, "", "")
        assert counts(finding, old.clock.now())
        assert old.actions() == ["finding.lapsed"]
        assert len(old.told()) == 1

    def test_it_holds_for_a_finding_that_went_and_came_back(self, old: World) -> None:
        self.exempt(old)
        old.ledger.change(NAME, issued_at=NOW)
        old.sweep.tick()
        old.ledger.change(NAME, issued_at=NOW - 100 * DAY)
        old.sweep.tick()
        assert old.ledger.open[OLD].exempted_by == "anna"
        assert old.told() == []

    def test_getting_worse_is_noted_and_not_told(self, old: World) -> None:
        self.exempt(old, 90 * DAY)
        old.clock.advance(80 * DAY)
        old.sweep.tick()
        assert old.ledger.open[OLD].severity is Severity.CRITICAL
        assert old.actions() == ["finding.escalated"]
        assert old.told() == []

    def test_a_rest_ends_too(self, old: World) -> None:
        old.ledger.edit(OLD, snoozed_until=NOW + DAY, acknowledged_by="anna")
        old.ledger.change(NAME)
        old.sweep.tick()
        assert old.ledger.open[OLD].standing(NOW) is Standing.SNOOZED
        old.clock.advance(DAY)
        old.sweep.tick()
        assert old.ledger.open[OLD].standing(old.clock.now()) is Standing.ACKNOWLEDGED
        assert old.actions() == ["finding.lapsed"]


class TestSweep:
    def test_a_tick_looks_at_what_is_due_and_at_nothing_else(self) -> None:
        names = [Name(f"team/key-{number}") for number in range(30)]
        due = [key(name=name, looks_at=NOW) for name in names[:3]]
        later = [key(name=name, looks_at=NOW + DAY) for name in names[3:]]
        world = World(*due, *later)
        assert world.sweep.tick().looked == 3
        assert world.ledger.asked == names[:3]
        assert world.sweep.tick() == Swept()

    def test_it_takes_them_in_portions_and_stops_at_its_bound(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "CHUNK", 4)
        world = World(*(key(name=Name(f"k-{n}"), looks_at=NOW) for n in range(14)))
        assert world.sweep.tick(most=8).looked == 8
        assert world.sweep.tick().looked == 6

    def test_everything_is_everything_and_says_how_far_it_is(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "CHUNK", 2)
        world = World(*(key(name=Name(f"k-{n}")) for n in range(5)))
        told: list[int] = []
        assert world.sweep.everything(told.append).looked == 5
        assert told == [2, 4, 5]

    def test_where_nothing_changes_nothing_is_written(self, old: World) -> None:
        before = old.ledger.writes
        old.sweep.everything()
        assert old.ledger.writes == before

    def test_a_change_that_came_meanwhile_is_not_lost(self) -> None:
        world = World(key(looks_at=NOW))
        settled = world.ledger.settle(
            [NAME], lambda _: Settlement(looks=(NextLook(NAME, NOW - DAY, None),)), NOW
        )
        assert settled
        assert world.ledger.subjects_by_name[NAME].looks_at == NOW


class TestJudge:
    @pytest.mark.parametrize(
        ("only", "applies"),
        [
            (Scope(environments=frozenset({"production"})), False),
            (Scope(environments=frozenset({"development"})), True),
            (Scope(kinds=frozenset({Kind.OAUTH_CLIENT})), False),
            (Scope(issuers=("case*",)), True),
            (Scope(issuers=("okta",)), False),
            (Scope(owners=("pay*", "x")), True),
            (Scope(owners=("x",)), False),
            (Scope(names=("*/key",)), True),
            (Scope(names=("key",)), False),
        ],
        ids=[
            "other-env",
            "env",
            "kind",
            "issuer",
            "other-issuer",
            "owner",
            "other-owner",
            "name",
            "other-name",
        ],
    )
    def test_a_rule_is_put_to_those_whom_it_is_for(self, only: Scope, applies: bool) -> None:  # noqa: FBT001
        judge = Judge([pack("max-age", only=only)])
        old = key(issued_at=NOW - 100 * DAY)
        assert bool(judge.judge(old, NOW).found) is applies
        (verdict,) = judge.explain(old, NOW)
        assert verdict.applies is applies
        assert isinstance(verdict.answer, Found) is applies

    def test_it_looks_again_at_the_earliest_of_all_times(self) -> None:
        judge = Judge([pack("max-age", "unused", "no-owner")])
        assert judge.judge(key(last_used=NOW), NOW).until == NOW + 80 * DAY
        assert judge.judge(key(last_used=NOW - 20 * DAY), NOW).until == NOW + 70 * DAY


class Fixed:
    """An expression that always says the same."""

    def __init__(self, *, answer: bool | Unclear, timed: bool = False) -> None:
        self.answer, self.timed = answer, timed

    def holds(self, _: Subject, __: object) -> bool | Unclear:
        return self.answer


class TestCustom:
    @pytest.mark.parametrize("timed", [False, True])
    def test_an_expression_that_holds_is_found(self, timed: bool) -> None:  # noqa: FBT001
        again = NOW + timedelta(hours=1) if timed else None
        said = {
            answer: custom(KEY, Custom(Fixed(answer=answer, timed=timed), "it is so"), NOW)
            for answer in (True, False)
        }
        assert said == {True: Found("it is so", None, again), False: again}

    def test_one_that_makes_no_sense_is_told(self) -> None:
        told = custom(KEY, Custom(Fixed(answer=Unclear("no such key")), "x"), NOW)
        assert isinstance(told, Found)
        assert told.text == "the rule makes no sense of it: no such key"


def test_an_alert_says_what_to_do_and_where_it_belongs(old: World) -> None:
    alert = alert_of(old.ledger.open[OLD], NOW)
    assert (alert.key, alert.owner, alert.rule) == (OLD, "payments", "p.max-age")
    assert alert.environment is Environment.DEVELOPMENT
    assert "credmgr rotate billing/key" in alert.body
    assert alert.facts["credential"] == NAME
    bare = Finding("audit/broken", Severity.CRITICAL, "x", NOW)
    ended = alert_of(bare, NOW, ENDED)
    assert (ended.environment, ended.resolved) == (None, True)


def test_a_finding_stands_as_people_decided() -> None:
    finding = Finding("a", Severity.INFO, "x", NOW)
    assert finding.standing(NOW) is Standing.OPEN
    assert replace(finding, acknowledged_by="anna").standing(NOW) is Standing.ACKNOWLEDGED
    assert replace(finding, resolved_at=NOW).standing(NOW) is Standing.RESOLVED
    assert replace(finding, exempt_until=NOW).standing(NOW) is Standing.OPEN


def test_a_rule_knows_no_parameters_unless_it_says_so() -> None:
    rule = Rule("a", "A.", Severity.INFO, "b", "c", lambda *_: None, ())
    assert rule.parameters is Nothing
