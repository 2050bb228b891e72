"""The log notifier writes each alert as one structured event."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from credmgr.model.finding import Alert, Severity
from credmgr.model.secret import Secret
from credmgr.notifiers.log import LogNotifierFactory, LogOptions
from credmgr.plugins.context import PluginContext
from credmgr.testing import FakeClock

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Nothing:
    def resolve(self, reference: str) -> Secret:
        raise AssertionError(reference)

    def current(self, purpose: str) -> tuple[str, bytes]:
        raise AssertionError(purpose)

    def by_id(self, purpose: str, key_id: str) -> bytes:
        raise AssertionError(purpose, key_id)


@pytest.mark.parametrize(
    ("severity", "level"),
    [(Severity.INFO, "info"), (Severity.WARNING, "warning"), (Severity.CRITICAL, "critical")],
)
def test_an_alert_is_one_event_at_the_level_of_its_severity(
    tmp_path: Path, severity: Severity, level: str
) -> None:
    alert = Alert("parked:a", severity, "team-a", "a is parked", "Do this.", AT, {"attempt": "3"})
    context = PluginContext("ops", tmp_path, FakeClock(), Nothing(), Nothing())
    factory = LogNotifierFactory()
    assert list(factory.validate(LogOptions())) == []
    with capture_logs() as events:
        notifier = factory.open(LogOptions(), context)
        notifier.deliver(alert)
        notifier.close()
    assert events == [
        {
            "notifier": "ops",
            "event": "a is parked",
            "log_level": level,
            "key": "parked:a",
            "severity": severity.value,
            "owner": "team-a",
            "environment": None,
            "body": "Do this.",
            "raised_at": "2026-01-01T00:00:00+00:00",
            "resolved": False,
            "message": "",
            "facts": {"attempt": "3"},
        }
    ]
