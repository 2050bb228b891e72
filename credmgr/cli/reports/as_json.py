"""An audit as JSON, for scripts."""

from dataclasses import asdict
from typing import Any

from credmgr.cli.output import json_out
from credmgr.model.finding import Finding
from credmgr.policy.report import Report


def show(report: Report) -> None:
    """Print it."""
    json_out(
        {
            "at": report.at,
            "actor": report.actor,
            "installation": report.installation,
            "looked_at": report.looked,
            "audit_head": {"sequence": report.head.sequence, "mac": report.head.mac},
            "counting": {severity.value: n for severity, n in report.by_severity().items()},
            "rules": [
                {
                    "id": one.rule.id,
                    "title": one.rule.rule.title,
                    "severity": one.rule.severity,
                    "source": one.rule.source,
                    "found": one.found,
                    "exempt": one.exempt,
                }
                for one in report.controls()
            ],
            "findings": [facts(one, report) for one in report.findings],
        }
    )


def facts(finding: Finding, report: Report) -> dict[str, Any]:
    """A finding, and how it stands."""
    return {**asdict(finding), "standing": finding.standing(report.at)}
