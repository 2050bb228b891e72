"""When a credential is due."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credmgr.model.credential import (
    CredentialStatus,
    Enrolled,
    RotationPolicy,
    Schedule,
    Window,
)
from credmgr.model.names import Name
from credmgr.model.version import Version, VersionStatus
from credmgr.rotation.due import Due, NotDue, Reason, due, opening, spread
from tests.rotation_world import credential

BERLIN = ZoneInfo("Europe/Berlin")
ISSUED = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)


def enrolled(
    schedule: Schedule, status: CredentialStatus = CredentialStatus.ACTIVE, name: str = "a"
) -> Enrolled:
    declared = credential(name=Name(name), policy=RotationPolicy(schedule=schedule))
    return Enrolled(declared, status, ISSUED, ISSUED)


def version(expires_at: datetime | None = None) -> Version:
    return Version(
        UUID(int=1), Name("a"), "key_1", "", VersionStatus.CURRENT, "", ISSUED, expires_at
    )


def test_a_credential_without_a_secret_is_due_whatever_its_schedule() -> None:
    assert due(enrolled(Schedule()), None, ISSUED) == Due(Reason.FIRST)


@pytest.mark.parametrize("status", [CredentialStatus.RETIRED, CredentialStatus.REVOKED])
def test_one_that_is_no_longer_declared_is_never_due(status: CredentialStatus) -> None:
    assert due(enrolled(Schedule(every=DAY), status), None, ISSUED) == NotDue(None)


def test_one_for_operators_only_is_never_due_by_itself() -> None:
    late = ISSUED + 1000 * DAY
    assert due(enrolled(Schedule()), version(ISSUED + DAY), late) == NotDue(None)


def test_age_counts_from_the_day_of_issue() -> None:
    daily = enrolled(Schedule(every=DAY))
    assert due(daily, version(), ISSUED + DAY - timedelta(seconds=1)) == NotDue(ISSUED + DAY)
    assert due(daily, version(), ISSUED + DAY) == Due(Reason.AGE)


def test_cron_is_read_in_its_zone() -> None:
    weekly = enrolled(Schedule(cron="0 3 * * 3", zone=BERLIN))
    wednesday = datetime(2026, 3, 4, 2, tzinfo=UTC)  # 03:00 in Berlin in winter
    assert due(weekly, version(), ISSUED) == NotDue(wednesday)
    assert due(weekly, version(), wednesday) == Due(Reason.CRON)


def test_the_earlier_of_age_and_cron_wins() -> None:
    both = enrolled(Schedule(every=DAY, cron="0 3 * * 3"))
    assert due(both, version(), ISSUED + DAY) == Due(Reason.AGE)


def test_a_secret_that_dies_by_itself_is_replaced_at_two_thirds_of_its_life() -> None:
    yearly = enrolled(Schedule(every=365 * DAY))
    dying = version(ISSUED + 30 * DAY)
    assert due(yearly, dying, ISSUED + 19 * DAY) == NotDue(ISSUED + 20 * DAY)
    assert due(yearly, dying, ISSUED + 20 * DAY) == Due(Reason.EXPIRY)


def test_an_expiry_waits_for_no_window() -> None:
    window = Window(frozenset({7}), time(1), time(2))
    weekly = enrolled(Schedule(every=90 * DAY, windows=(window,)))
    assert due(weekly, version(ISSUED + 3 * DAY), ISSUED + 2 * DAY) == Due(Reason.EXPIRY)


def test_jitter_makes_it_due_earlier_by_an_amount_that_is_fixed_per_name() -> None:
    schedule = Schedule(every=10 * DAY, jitter=0.1)
    first = due(enrolled(schedule, name="a"), version(), ISSUED)
    second = due(enrolled(schedule, name="b"), version(), ISSUED)
    assert first != second
    assert first == due(enrolled(schedule, name="a"), version(), ISSUED)
    assert isinstance(first, NotDue)
    assert first.until
    assert ISSUED + 9 * DAY <= first.until <= ISSUED + 10 * DAY


@given(st.lists(st.text(min_size=1), min_size=1))
def test_spread_is_a_fraction(names: list[str]) -> None:
    assert all(0 <= spread(name) < 1 for name in names)


NIGHT = Window(frozenset({2, 3}), time(22), time(4))  # Tuesday and Wednesday, past midnight
NOON = Window(frozenset({1}), time(11), time(13))


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        (datetime(2026, 3, 2, 12, tzinfo=BERLIN), datetime(2026, 3, 2, 12, tzinfo=BERLIN)),
        (datetime(2026, 3, 2, 13, tzinfo=BERLIN), datetime(2026, 3, 3, 22, tzinfo=BERLIN)),
        (datetime(2026, 3, 4, 3, tzinfo=BERLIN), datetime(2026, 3, 4, 3, tzinfo=BERLIN)),
        (datetime(2026, 3, 5, 3, 59, tzinfo=BERLIN), datetime(2026, 3, 5, 3, 59, tzinfo=BERLIN)),
        (datetime(2026, 3, 5, 4, tzinfo=BERLIN), datetime(2026, 3, 9, 11, tzinfo=BERLIN)),
        (datetime(2026, 3, 1, 0, tzinfo=BERLIN), datetime(2026, 3, 2, 11, tzinfo=BERLIN)),
    ],
)
def test_windows_open_when_they_say(moment: datetime, opens: datetime) -> None:
    schedule = Schedule(every=DAY, zone=BERLIN, windows=(NIGHT, NOON))
    assert opening(schedule, moment) == opens


def test_a_rotation_that_is_due_outside_its_window_waits_for_it() -> None:
    daily = enrolled(Schedule(every=DAY, windows=(replace(NOON, days=frozenset({5})),)))
    friday = datetime(2026, 3, 6, 11, tzinfo=UTC)
    assert due(daily, version(), ISSUED + DAY) == NotDue(friday)
    assert due(daily, version(), friday) == Due(Reason.AGE)


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.frozensets(st.integers(1, 7), min_size=1),
    st.times(),
    st.times(),
)
def test_an_opening_is_never_before_the_moment_and_within_eight_days(
    moment: datetime, days: frozenset[int], start: time, end: time
) -> None:
    schedule = Schedule(every=DAY, zone=BERLIN, windows=(Window(days, start, end),))
    opens = opening(schedule, moment)
    assert moment <= opens <= moment + 9 * DAY
