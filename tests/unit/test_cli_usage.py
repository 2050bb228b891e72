"""`show` tells who has moved to the current secret, and who has not."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from credmgr.cli.usage import seen
from credmgr.model.names import Name
from credmgr.model.usage import Usage

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OLD, CURRENT = UUID(int=1), UUID(int=2)


def use(consumer: str, version: UUID, hours: int) -> Usage:
    first, last = NOW - timedelta(hours=hours), NOW - timedelta(minutes=1)
    return Usage(Name(consumer), Name("a/key"), version, frozenset({"x:read"}), first, last)


def test_who_is_behind_is_told_since_when(capsys: pytest.CaptureFixture[str]) -> None:
    seen([use("billing", OLD, 3), use("reports", CURRENT, 1)], CURRENT, NOW)

    told = capsys.readouterr().out.splitlines()
    (billing,) = [line for line in told if "billing" in line]
    (reports,) = [line for line in told if "reports" in line]
    assert "still on an older secret, which it has read since 3h ago" in billing
    assert "on the current secret, last read 1m ago, for x:read" in reports
