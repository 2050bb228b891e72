"""An audit as SARIF 2.1.0, for code hosts and whoever gathers the results of tools."""

import json
from collections.abc import Mapping
from typing import Final

from credmgr import __version__, sarif
from credmgr.model.finding import Finding, Severity
from credmgr.policy.report import Report

_LEVELS: Final[Mapping[Severity, sarif.Level]] = {
    Severity.INFO: sarif.Level.NOTE,
    Severity.WARNING: sarif.Level.WARNING,
    Severity.CRITICAL: sarif.Level.ERROR,
}
_SCORES: Final[Mapping[Severity, float]] = {
    Severity.INFO: 3.0,
    Severity.WARNING: 6.0,
    Severity.CRITICAL: 9.0,
}


def document(report: Report) -> str:
    """The log as text."""
    rules = {one.rule.id: _rule_of(one.rule.id, report) for one in report.controls()}
    for finding in report.findings:
        name = _name(finding)
        rules.setdefault(name, sarif.Rule(name, "What credmgr found at work.", _level(finding)))
    results = [_result(one, report) for one in report.findings]
    log = sarif.log(list(rules.values()), results, version=__version__)
    return json.dumps(log, indent=2) + "\n"


def _rule_of(identity: str, report: Report) -> sarif.Rule:
    control = next(one for one in report.controls() if one.rule.id == identity)
    rule = control.rule
    return sarif.Rule(
        id=rule.id,
        summary=rule.rule.title,
        level=_LEVELS[rule.severity],
        help=f"{rule.rule.remedy.format(name='NAME')}\nSource: {rule.source}",
        severity=_SCORES[rule.severity],
    )


def _name(finding: Finding) -> str:
    """The rule, or what the key of a finding without one begins with."""
    return finding.rule or finding.key.partition("/")[0]


def _level(finding: Finding) -> sarif.Level:
    return _LEVELS[finding.severity]


def _result(finding: Finding, report: Report) -> sarif.Result:
    exempt = finding in report.exempt
    why = f"{finding.exempted_why} ({finding.exempted_by}, until {finding.exempt_until})"
    return sarif.Result(
        rule=_name(finding),
        text=finding.text,
        where=[sarif.Thing(finding.credential or finding.key)],
        identity=[finding.key],
        level=_level(finding),
        facts={
            "owner": finding.owner,
            "environment": finding.environment,
            "openedAt": finding.opened_at.isoformat(),
            "standing": finding.standing(report.at).value,
        },
        suppressed=sarif.Suppression(why) if exempt else None,
    )
