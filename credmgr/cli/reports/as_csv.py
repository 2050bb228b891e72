"""An audit as CSV, for spreadsheets: none of its cells is a formula."""

import csv
from io import StringIO
from typing import Final

from credmgr.model.finding import Finding
from credmgr.policy.report import Report

COLUMNS: Final = (
    "severity",
    "standing",
    "rule",
    "credential",
    "owner",
    "environment",
    "text",
    "opened_at",
    "acknowledged_by",
    "exempt_until",
    "exempted_by",
    "exempted_why",
    "remedy",
    "source",
    "key",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What spreadsheets take for the beginning of one (OWASP, CSV Injection)."""


def document(report: Report) -> str:
    """Every open finding as a line, with a header; RFC 4180."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for finding in report.findings:
        writer.writerow([harmless(_cell(finding, name, report)) for name in COLUMNS])
    return out.getvalue()


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cell(finding: Finding, name: str, report: Report) -> str:
    if name == "standing":
        return finding.standing(report.at).value
    value = getattr(finding, name)
    if value is None:
        return ""
    return value.isoformat() if name in {"opened_at", "exempt_until"} else str(value)
