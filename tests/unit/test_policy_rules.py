"""Each rule: what it finds, when it could next change its mind, and what it lets pass."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from credmgr.model.credential import Environment, Kind
from credmgr.model.finding import Severity
from credmgr.model.rotation import State
from credmgr.model.subject import Subject
from credmgr.model.version import KeyType
from credmgr.policy.rule import Answer, Found, Nothing, listed, span
from credmgr.policy.rules import ages, keeping, scopes
from credmgr.policy.rules.catalogue import CATALOGUE
from tests.policy_world import DAY, KEY, NOW, key

PRODUCTION = Environment.PRODUCTION
HOUR = timedelta(hours=1)


def ask(code: str, subject: Subject, now: datetime = NOW, **parameters: Any) -> Answer:
    rule = CATALOGUE[code]
    return rule.look(subject, rule.parameters(**parameters), now)


def found(answer: Answer) -> Found:
    assert isinstance(answer, Found)
    return answer


def test_every_rule_says_what_it_holds_where_it_comes_from_and_what_to_do() -> None:
    for code, rule in CATALOGUE.items():
        assert rule.code == code
        assert rule.title.endswith(".")
        assert rule.source
        assert rule.remedy.format(name="a/b")
        assert set(rule.reads) <= set(Subject._fields)


def test_a_rule_looks_at_nothing_but_what_it_says() -> None:
    said = {code: rule.reads for code, rule in CATALOGUE.items()}
    assert said["no-owner"] == ("owner",)
    assert len(CATALOGUE) == 20


class TestMaxAge:
    def test_a_young_secret_is_fine_until_the_day_on_which_it_is_too_old(self) -> None:
        assert ask("max-age", KEY) == KEY.issued_at + 90 * DAY  # type: ignore[operator]

    def test_one_that_is_too_old_is_found_and_critical_at_twice_the_age(self) -> None:
        old = key(issued_at=NOW - 90 * DAY)
        told = found(ask("max-age", old))
        assert told == Found(
            "its secret is from 2026-03-03 and older than 90 days", None, NOW + 90 * DAY
        )
        assert found(ask("max-age", old, NOW + 90 * DAY)).severity is Severity.CRITICAL

    def test_the_shortest_limit_that_fits_counts(self) -> None:
        limits: dict[str, Any] = {
            "environments": {PRODUCTION: 60 * DAY},
            "kinds": {Kind.API_KEY: 30 * DAY},
        }
        issued = NOW - DAY
        both = key(issued_at=issued, environment=PRODUCTION)
        client = both._replace(kind=Kind.OAUTH_CLIENT)
        assert ask("max-age", both, **limits) == issued + 30 * DAY
        assert ask("max-age", client, **limits) == issued + 60 * DAY
        assert ask("max-age", key(issued_at=issued), kinds={Kind.OAUTH_CLIENT: DAY}) == (
            issued + 90 * DAY
        )

    def test_a_risk_analysis_is_named(self) -> None:
        told = found(ask("max-age", KEY, limit=DAY, critical=2 * DAY, risk_ref="TRA-7"))
        assert told.text.endswith("older than 1 day, which TRA-7 allows")
        assert told.severity is Severity.CRITICAL

    def test_without_a_secret_there_is_nothing_to_be_old(self) -> None:
        assert ask("max-age", key(issued_at=None)) is None


class TestExpiry:
    def at(self, left: timedelta) -> Answer:
        return ask("expiry", key(expires_at=NOW + left))

    def test_it_climbs_the_ladder_step_by_step(self) -> None:
        steps = [found(self.at(left * DAY)) for left in (30, 14, 7, 1)]
        assert [one.severity for one in steps] == [
            Severity.INFO,
            Severity.WARNING,
            Severity.WARNING,
            Severity.CRITICAL,
        ]
        assert [one.until for one in steps] == [
            NOW + 16 * DAY,
            NOW + 7 * DAY,
            NOW + 6 * DAY,
            NOW + DAY,
        ]
        assert len({one.text for one in steps}) == 4

    def test_before_the_ladder_it_waits_for_the_first_step(self) -> None:
        assert self.at(31 * DAY) == NOW + DAY

    def test_what_has_expired_stays_critical(self) -> None:
        assert self.at(-DAY) == Found("its secret expired on 2026-05-31", Severity.CRITICAL)

    def test_a_secret_that_lives_for_ever_and_a_ladder_without_steps_say_nothing(self) -> None:
        assert ask("expiry", KEY) is None
        assert ask("expiry", key(expires_at=NOW + DAY), ladder=()) is None

    def test_a_ladder_of_one_step_is_critical_at_once(self) -> None:
        told = found(ask("expiry", key(expires_at=NOW + DAY), ladder=(2 * DAY,)))
        assert told.severity is Severity.CRITICAL


class TestRotations:
    def test_one_that_is_late_is_found_after_its_grace(self) -> None:
        subject = key(every=8 * DAY)
        assert ask("rotation-overdue", subject) == NOW + DAY
        told = found(ask("rotation-overdue", subject, NOW + DAY))
        assert told.text == "its rotation was due on 2026-05-30 and has not happened"
        assert told.until == NOW + 28 * DAY
        worst = found(ask("rotation-overdue", subject, NOW + 28 * DAY))
        assert (worst.severity, worst.until) == (Severity.CRITICAL, None)

    def test_a_first_secret_that_never_came_is_found(self) -> None:
        told = found(ask("rotation-overdue", key(issued_at=None, applied_at=NOW - 4 * DAY)))
        assert told.text.startswith("its first secret was due on 2026-05-28")

    def test_a_schedule_by_cron_is_overdue_when_nobody_looked(self) -> None:
        told = found(ask("rotation-overdue", key(due_at=NOW - 4 * DAY)))
        assert told.text.startswith("it was to be looked at on 2026-05-28")
        assert ask("rotation-overdue", KEY) is None

    def test_what_only_a_person_rotates_is_never_overdue_but_has_no_schedule(self) -> None:
        manual = key(scheduled=False, issued_at=NOW - 900 * DAY)
        assert ask("rotation-overdue", manual) is None
        assert isinstance(ask("no-schedule", manual), Found)
        assert ask("no-schedule", KEY) is None

    def test_one_that_waits_for_a_person_is_critical_after_a_week(self) -> None:
        waits = key(rotation=State.OPERATOR, rotation_since=NOW - DAY, rotation_reason="no slot")
        told = found(ask("rotation-parked", waits))
        assert told.text == "its rotation waits for a person since 2026-05-31: no slot"
        assert told.until == NOW + 6 * DAY
        worst = found(ask("rotation-parked", waits._replace(rotation_reason=""), NOW + 6 * DAY))
        assert worst == Found("its rotation waits for a person since 2026-05-31", Severity.CRITICAL)

    def test_one_that_moves_is_no_matter(self) -> None:
        assert ask("rotation-parked", key(rotation=State.OVERLAP, rotation_since=NOW)) is None
        assert ask("rotation-parked", key(rotation=State.OPERATOR)) is None


class TestScopes:
    def test_one_outside_the_allowed_set_is_found(self) -> None:
        allowed = {"cases:read": "see cases"}
        assert ask("scope-outside", KEY, allowed=allowed) == Found(
            "it has scopes outside the allowed set: cases:write"
        )
        assert ask("scope-outside", key(scopes=frozenset(allowed)), allowed=allowed) is None

    def test_one_that_nobody_asked_for_is_found_once_it_was_watched_for_long_enough(self) -> None:
        seen = key(first_asked=NOW - 80 * DAY, asked={"cases:read": NOW - DAY})
        assert ask("scope-unused", seen) == NOW + 10 * DAY
        told = found(ask("scope-unused", seen, NOW + 10 * DAY))
        assert told.text == "scopes not asked for in 90 days: cases:write"
        assert told.until == NOW + 89 * DAY

    def test_a_scope_is_not_blamed_for_the_time_before_it_was_declared(self) -> None:
        seen = key(first_asked=NOW - 180 * DAY, applied_at=NOW - 5 * DAY)
        assert ask("scope-unused", seen) == NOW + 85 * DAY

    def test_where_nobody_takes_tokens_nothing_is_known(self) -> None:
        assert ask("scope-unused", KEY) is None
        assert ask("scope-unused", key(scopes=frozenset(), first_asked=NOW)) is None

    def test_one_that_writes_is_found_sooner(self) -> None:
        seen = key(first_asked=NOW - 40 * DAY, asked={"cases:read": NOW})
        told = found(ask("write-unneeded", seen))
        assert told.text == "scopes that write, not asked for in 30 days: cases:write"
        assert ask("write-unneeded", seen._replace(asked={"cases:write": NOW})) == NOW + 30 * DAY
        assert ask("write-unneeded", key(scopes=frozenset({"cases:read"}))) is None
        assert ask("write-unneeded", key(scopes=frozenset())) is None

    def test_too_many_are_counted(self) -> None:
        assert ask("many-scopes", KEY, limit=1) == Found("it has 2 scopes, 1 are the limit")
        assert ask("many-scopes", KEY, limit=2) is None

    def test_two_that_belong_apart_are_told_with_the_reason(self) -> None:
        apart = {"cases:read cases:write": "four eyes", "sar:read sar:write": "other"}
        assert ask("scope-pair", KEY, apart=apart) == Found(
            "it holds together what belongs apart: cases:read with cases:write (four eyes)"
        )
        assert ask("scope-pair", key(scopes=frozenset({"cases:read"})), apart=apart) is None
        assert ask("scope-pair", key(scopes=frozenset()), apart=apart) is None

    def test_a_token_with_more_is_critical_and_one_with_less_a_warning(self) -> None:
        more = found(ask("token-scopes", key(unasked=("sar:read",), missing=("cases:read",))))
        assert more.text == "a token came back with sar:read unasked and without cases:read"
        assert more.severity is Severity.CRITICAL
        assert found(ask("token-scopes", key(missing=("cases:read",)))).severity is None
        assert ask("token-scopes", KEY) is None

    def test_a_token_that_lives_too_long_is_found(self) -> None:
        told = found(ask("token-life", key(token_life=2 * HOUR)))
        assert told.text == "its tokens live 2 hours, 1 hour are allowed"
        assert ask("token-life", key(token_life=HOUR)) is None
        assert ask("token-life", KEY) is None


class TestKeeping:
    def test_an_api_key_in_production_is_found(self) -> None:
        assert isinstance(ask("api-key-in-production", key(environment=PRODUCTION)), Found)
        assert ask("api-key-in-production", KEY) is None
        client = key(environment=PRODUCTION, kind=Kind.OAUTH_CLIENT)
        assert ask("api-key-in-production", client) is None

    @pytest.mark.parametrize("environment", list(Environment))
    def test_a_live_key_belongs_into_production_and_a_sandbox_key_elsewhere(
        self, environment: Environment
    ) -> None:
        live = key(environment=environment, key_type=KeyType.LIVE)
        sandbox = live._replace(key_type=KeyType.SANDBOX)
        inside = environment is PRODUCTION
        assert isinstance(ask("live-key-outside-production", live), Found) is not inside
        assert isinstance(ask("sandbox-key-in-production", sandbox), Found) is inside
        unknown = live._replace(key_type=None)
        assert ask("live-key-outside-production", unknown) is None
        assert ask("sandbox-key-in-production", unknown) is None

    @pytest.mark.parametrize("owner", ["", "TBD", " nobody "])
    def test_an_owner_who_is_nobody_is_found(self, owner: str) -> None:
        assert isinstance(ask("no-owner", key(owner=owner)), Found)
        assert ask("no-owner", KEY) is None

    def test_what_nobody_uses_is_found_after_a_while(self) -> None:
        used = key(last_used=NOW - 89 * DAY)
        assert ask("unused", used) == NOW + DAY
        told = found(ask("unused", used, NOW + DAY))
        assert told.text == "nobody was seen using it for 90 days; last on 2026-03-04"
        never = found(ask("unused", KEY))
        assert never.text == "nobody was seen using it for 90 days"
        assert ask("unused", key(issued_at=None)) is None

    def test_copies_twins_and_strays_are_named(self) -> None:
        assert "vault:a" in found(ask("copy-drifted", key(drifted=("vault:a",)))).text
        assert "other/key" in found(ask("shared-secret", key(twins=("other/key",)))).text
        assert "key_9" in found(ask("unmanaged-secret", key(strays=("key_9",)))).text
        assert {ask(c, KEY) for c in ("copy-drifted", "shared-secret", "unmanaged-secret")} == {
            None
        }


def test_lengths_are_told_in_their_largest_whole_unit() -> None:
    lengths = [timedelta(days=2), timedelta(hours=36), timedelta(minutes=1), timedelta(seconds=90)]
    assert [span(one) for one in lengths] == ["2 days", "36 hours", "1 minute", "90 seconds"]


def test_a_long_list_is_cut_and_counted() -> None:
    assert listed(("b", "a")) == "a, b"
    assert listed(tuple(f"s{number}" for number in range(12))).endswith(" and 2 more")


def test_rules_without_parameters_take_none() -> None:
    rules = (*ages.RULES, *scopes.RULES, *keeping.RULES)
    assert {rule.code for rule in rules if rule.parameters is Nothing} >= {"shared-secret"}
