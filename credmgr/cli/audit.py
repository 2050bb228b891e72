"""`credmgr audit`: the rules, put to every credential now."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from credmgr.cli.exits import Exit
from credmgr.cli.output import Json
from credmgr.cli.session import log_quietly, session

if TYPE_CHECKING:
    from credmgr.bootstrap import App
    from credmgr.policy.report import Report


class Form(StrEnum):
    """How an audit is told."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    SARIF = "sarif"
    HTML = "html"


class Bound(StrEnum):
    """From which severity on an audit fails."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"
    NEVER = "never"


def audit(
    *,
    fail_on: Annotated[
        Bound, typer.Option(help="Exit 1 from this severity on.", metavar="SEVERITY")
    ] = Bound.CRITICAL,
    form: Annotated[
        Form, typer.Option("--format", help="How to tell it.", metavar="FORMAT")
    ] = Form.TABLE,
    issuers: Annotated[
        bool, typer.Option("--issuers", help="Also ask every issuer which secrets it has.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put the rules to every credential now, and show what is wrong.

    Works with and without a daemon. A finding that somebody is exempt from does not count.
    SEVERITY is info, warning, critical or never; FORMAT is table, json, csv, sarif or html.

    [dim]Example:[/] credmgr audit --format html > audit.html
    """
    log_quietly()
    with session(migrate=True) as state:
        if issuers:
            from credmgr.cli.progress import counted
            from credmgr.policy.inspection import Inspection

            counted("asked", Inspection(state.store.ledger).everything(state.outside))
        report = _report(state)
    _show(report, Form.JSON if as_json else form)
    worst = report.worst()
    if worst is not None and fail_on is not Bound.NEVER:
        from credmgr.model.finding import Severity

        if worst.rank >= Severity(fail_on).rank:
            raise typer.Exit(Exit.FAILED)


def _report(state: "App") -> "Report":
    from credmgr.cli.progress import counter
    from credmgr.policy.report import Report, ranked

    sweep = state.sweep()
    with counter("credentials looked at") as progress:
        swept = sweep.everything(progress)
    return Report(
        at=state.clock.now(),
        actor=state.actor,
        installation=state.store.install_id,
        looked=swept.looked,
        packs=state.rulebook().packs,
        findings=ranked(state.store.ledger.findings(open_only=True)),
        head=state.store.audit.checkpoint(),
    )


def _show(report: "Report", form: Form) -> None:
    from credmgr.cli.reports import as_csv, as_html, as_json, as_sarif, as_table

    match form:
        case Form.TABLE:
            as_table.show(report)
        case Form.JSON:
            as_json.show(report)
        case Form.CSV:
            sys.stdout.write(as_csv.document(report))
        case Form.SARIF:
            sys.stdout.write(as_sarif.document(report))
        case Form.HTML:
            sys.stdout.write(as_html.document(report))
