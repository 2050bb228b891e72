"""Durations as people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credmgr.manifest.durations import LONGEST, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "duration", "back"),
    [
        ("90d", timedelta(days=90), "90d"),
        ("24h", timedelta(hours=24), "24h"),
        ("1d", timedelta(days=1), "24h"),
        ("48h", timedelta(days=2), "2d"),
        ("20s", timedelta(seconds=20), "20s"),
        ("1h30m", timedelta(minutes=90), "1h30m"),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4), "26h3m4s"),
        ("0s", timedelta(0), "0s"),
        ("3650d", LONGEST, "3650d"),
    ],
)
def test_a_duration_is_read_and_written(text: str, duration: timedelta, back: str) -> None:
    assert parse_duration(text) == duration
    assert format_duration(duration) == back


@pytest.mark.parametrize(
    "text", ["", "d", "90", "90 d", "-1d", "1.5h", "1m1h", "1h1h", "1D", "1w", "٣d", "1d\n", "P1D"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["3651d", "999999d", "999999999s", "3650d1s"])
def test_a_duration_beyond_ten_years_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="at most 3650d"):
        parse_duration(text)


@given(seconds=st.integers(0, int(LONGEST.total_seconds())))
def test_what_is_written_is_read_back(seconds: int) -> None:
    duration = timedelta(seconds=seconds)

    assert parse_duration(format_duration(duration)) == duration
