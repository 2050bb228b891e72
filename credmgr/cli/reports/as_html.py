"""An audit as one page of HTML: evidence that is read, printed and kept, without any script.

The page loads nothing: its policy allows the one style sheet that it carries, by hash.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Final

from credmgr import __version__
from credmgr.model.finding import Finding, Severity, Standing
from credmgr.policy.report import Control, Report

STYLE: Final = Path(__file__).with_name("audit.css").read_text(encoding="utf-8")
_HASH: Final = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
)


def document(report: Report) -> str:
    """The whole page."""
    parts = (_head(report), _summary(report), _findings(report), _exemptions(report))
    return "\n".join((*parts, _controls(report), _foot(report))) + "\n"


def _head(report: Report) -> str:
    day = f"{report.at:%Y-%m-%d}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Credential audit of {day}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header>
<p class="eyebrow">credmgr</p>
<h1>Credential audit</h1>
<p class="when">{_moment(report.at)}</p>
</header>"""


def _summary(report: Report) -> str:
    counts = report.by_severity()
    tiles = [_tile(str(counts[one]), one.value, one.value) for one in counts]
    tiles.append(_tile(str(len(report.exempt)), "exempt", "quiet"))
    rules = sum(len(pack.rules) for pack in report.packs)
    tiles += [
        _tile(f"{report.looked:,}", "credentials", "quiet"),
        _tile(str(rules), "rules", "quiet"),
    ]
    return f"""<section aria-label="Summary">
<p class="lead">{_verdict(report)}</p>
<ul class="tiles">{"".join(tiles)}</ul>
</section>"""


def _tile(number: str, word: str, sort: str) -> str:
    quiet = " zero" if number == "0" else ""
    return f'<li class="{sort}{quiet}"><b>{number}</b> <span>{word}</span></li>'


def _verdict(report: Report) -> str:
    count = len(report.counting)
    if count == 0:
        return "Nothing counts against any credential."
    owners = len({one.owner for one in report.counting})
    things = "finding" if count == 1 else "findings"
    people = "one owner" if owners == 1 else f"{owners} owners"
    return f"{count} {things} with {people}."


def _findings(report: Report) -> str:
    if not report.counting:
        return ""
    rows = "".join(_finding(one, report.at) for one in report.counting)
    return f"""<section>
<h2>Findings</h2>
<div class="scroll"><table>
{_titles("Severity", "What was found", "Owner", "Since", "Standing")}
<tbody>{rows}</tbody>
</table></div>
</section>"""


def _titles(*words: str) -> str:
    cells = "".join(f'<th scope="col">{word}</th>' for word in words)
    return f"<thead><tr>{cells}</tr></thead>"


def _finding(finding: Finding, now: datetime) -> str:
    details = [("What to do", finding.remedy), ("Source", finding.source), ("Key", finding.key)]
    told = "".join(f"<dt>{word}</dt><dd>{escape(text)}</dd>" for word, text in details if text)
    return f"""<tr>
<td>{_badge(finding.severity)}</td>
<td><p>{escape(finding.text)}</p><dl>{told}</dl></td>
<td>{escape(finding.owner) or "&ndash;"}<br><small>{escape(finding.environment)}</small></td>
<td class="day">{finding.opened_at:%Y-%m-%d}</td>
<td>{_standing(finding, now)}</td>
</tr>"""


def _standing(finding: Finding, now: datetime) -> str:
    match found := finding.standing(now):
        case Standing.ACKNOWLEDGED:
            return f"acknowledged<br><small>{escape(finding.acknowledged_by)}</small>"
        case Standing.SNOOZED:
            return f"snoozed<br><small>until {finding.snoozed_until:%Y-%m-%d}</small>"
        case _:
            return found.value


def _exemptions(report: Report) -> str:
    if not report.exempt:
        return ""
    rows = "".join(
        f"""<tr>
<td>{_badge(one.severity)}</td>
<td><p>{escape(one.text)}</p></td>
<td>{escape(one.exempted_why)}</td>
<td>{escape(one.exempted_by)}</td>
<td class="day">{one.exempt_until:%Y-%m-%d}</td>
</tr>"""
        for one in report.exempt
    )
    return f"""<section>
<h2>Exemptions</h2>
<p>These do not count until they end by themselves.</p>
<div class="scroll"><table>
{_titles("Severity", "What was found", "Reason", "Decided by", "Until")}
<tbody>{rows}</tbody>
</table></div>
</section>"""


def _controls(report: Report) -> str:
    controls = report.controls()
    parts = "".join(
        _pack(pack.title, [one for one in controls if one.rule in pack.rules])
        for pack in report.packs
    )
    return f"""<section>
<h2>Rules that were put to every credential</h2>
{parts}
</section>"""


def _pack(title: str, controls: Iterable[Control]) -> str:
    rows = "".join(
        f"""<tr>
<td>{_result(one)}</td>
<td><p>{escape(one.rule.rule.title)}</p><small><code>{escape(one.rule.id)}</code></small></td>
<td>{escape(one.rule.source)}</td>
</tr>"""
        for one in controls
    )
    return f"""<h3>{escape(title)}</h3>
<div class="scroll"><table>
{_titles("Result", "Rule", "Source")}
<tbody>{rows}</tbody>
</table></div>"""


def _result(control: Control) -> str:
    if control.found:
        return f'<span class="badge {control.rule.severity}">{control.found} found</span>'
    note = f"{control.exempt} exempt" if control.exempt else "held"
    return f'<span class="badge held">{note}</span>'


def _badge(severity: Severity) -> str:
    return f'<span class="badge {severity}">{severity}</span>'


def _foot(report: Report) -> str:
    head = report.head
    return f"""<footer>
<dl>
<dt>Made</dt><dd>{_moment(report.at)} by {escape(report.actor)}, credmgr {__version__}</dd>
<dt>Installation</dt><dd><code>{escape(report.installation)}</code></dd>
<dt>Audit log</dt><dd>record {head.sequence}, seal <code>{escape(head.mac)}</code></dd>
</dl>
<p>Every step of every finding is in the audit log, sealed record by record;
<code>credmgr log verify</code> proves that none was changed. No secret is on this page.</p>
</footer>
</main>
</body>
</html>"""


def _moment(moment: datetime) -> str:
    return f'<time datetime="{moment.isoformat()}">{moment:%Y-%m-%d %H:%M} UTC</time>'
