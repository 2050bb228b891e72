"""Findings as a person reads them in a terminal."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from credmgr.cli.output import ago, plain, say
from credmgr.cli.table import table
from credmgr.model.finding import Finding, Severity, Standing
from credmgr.policy.report import Report

COLUMNS: Final = ("SEVERITY", "KEY", "OWNER", "SINCE", "STANDING", "FINDING")
EXPENDABLE: Final = ("OWNER", "SINCE", "STANDING")
COLOURS: Final = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
SIGNS: Final = {Severity.CRITICAL: "✗", Severity.WARNING: "!", Severity.INFO: "i"}


def show(report: Report) -> None:
    """Print the findings, then what they come to."""
    if report.findings:
        findings(report.findings, report.at)
        say()
    counts = report.by_severity()
    told = ", ".join(
        f"[{COLOURS[severity]}]{count} {severity}[/]" for severity, count in counts.items() if count
    )
    rules = sum(len(pack.rules) for pack in report.packs)
    packs = ", ".join(pack.name for pack in report.packs)
    say(f"{told or '[green]nothing is wrong[/]'}{_exempt(report)}")
    say(f"[dim]{report.looked:,} credentials, {rules} rules of {plain(packs)}[/]")


def findings(found: Sequence[Finding], now: datetime) -> None:
    """A table of findings."""
    table(COLUMNS, [_row(one, now) for one in found], expendable=EXPENDABLE)


def severity(one: Severity) -> str:
    """A severity with its sign and colour."""
    return f"[{COLOURS[one]}]{SIGNS[one]} {one}[/]"


def standing(finding: Finding, now: datetime) -> str:
    """How it stands, and until when."""
    match found := finding.standing(now):
        case Standing.EXEMPT:
            return f"[dim]exempt, ends {ago(finding.exempt_until, now)}[/]"
        case Standing.SNOOZED:
            return f"[dim]snoozed, ends {ago(finding.snoozed_until, now)}[/]"
        case _:
            return found.value if found is Standing.OPEN else f"[dim]{found}[/]"


def _row(finding: Finding, now: datetime) -> Sequence[str]:
    return (
        severity(finding.severity),
        plain(finding.key),
        plain(finding.owner or "-"),
        ago(finding.opened_at, now),
        standing(finding, now),
        plain(finding.text.removeprefix(f"{finding.credential}: ")),
    )


def _exempt(report: Report) -> str:
    count = len(report.exempt)
    return f" [dim]({count} exempt)[/]" if count else ""
