"""The notifier that writes alerts into credmgr's own log, as structured events."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import assert_never

import structlog

from credmgr.model.finding import Alert, Severity
from credmgr.plugins.backend import Mistake
from credmgr.plugins.context import PluginContext
from credmgr.plugins.notifier import Notifier


@dataclass(frozen=True, slots=True)
class LogOptions:
    """There is nothing to choose: where the log goes is the process's matter."""


class LogNotifier:
    """One log event per alert; the title is the event. Thread-safe."""

    def __init__(self, name: str) -> None:
        self._log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(
            "credmgr.alerts", notifier=name
        )

    def deliver(self, alert: Alert) -> None:
        """Write the alert; a lost log line is the log's matter, so this never fails."""
        self._writer(alert.severity)(
            alert.title,
            key=alert.key,
            severity=alert.severity.value,
            owner=alert.owner,
            body=alert.body,
            raised_at=alert.at.isoformat(),
            facts=dict(alert.facts),
        )

    def close(self) -> None:
        """Nothing is open."""

    def _writer(self, severity: Severity) -> Callable[..., object]:
        match severity:
            case Severity.INFO:
                return self._log.info
            case Severity.WARNING:
                return self._log.warning
            case Severity.CRITICAL:
                return self._log.critical
            case _:
                assert_never(severity)


class LogNotifierFactory:
    """Opens log notifiers."""

    options = LogOptions

    def validate(self, options: LogOptions) -> Iterable[Mistake]:  # noqa: ARG002 (protocol)
        """Nothing can be wrong."""
        return ()

    def open(self, options: LogOptions, context: PluginContext) -> Notifier:  # noqa: ARG002
        """A notifier."""
        return LogNotifier(context.name)
