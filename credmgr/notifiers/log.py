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
    """One log event per alert, also of those that come together; the title is the event.

    Its level is the alert's severity; that something has ended is for information.
    """

    def __init__(self, name: str) -> None:
        self._log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(
            "credmgr.alerts", notifier=name
        )

    def deliver(self, alert: Alert) -> None:
        """Write the alert; a lost log line is the log's matter, so this never fails."""
        for one in alert.items or (alert,):
            self._writer(Severity.INFO if one.resolved else one.severity)(
                one.title,
                key=one.key,
                severity=one.severity.value,
                owner=one.owner,
                environment=one.environment and one.environment.value,
                body=one.body,
                raised_at=one.at.isoformat(),
                resolved=one.resolved,
                message=alert.id,
                facts=dict(one.facts),
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
