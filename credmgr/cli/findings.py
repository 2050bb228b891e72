"""`credmgr findings`: what somebody should know, and what became of it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from credmgr.cli.output import Json, ago, fields, heading, json_out, lines, plain, say
from credmgr.cli.session import log_quietly, session
from credmgr.errors import CredmgrError, UsageError
from credmgr.model.finding import Severity

if TYPE_CHECKING:
    from datetime import datetime

    from credmgr.bootstrap import App
    from credmgr.model.audit import AuditRecord
    from credmgr.model.finding import Finding

HINT: Final = "`credmgr findings list` shows the keys"
MOST: Final = 200
"""Records of a finding's history that are shown."""

app = typer.Typer()


def complete(incomplete: str) -> Iterable[str]:
    """The keys of open findings that begin like this; nothing when they cannot be read."""
    try:
        with session() as state:
            found = state.store.ledger.findings(open_only=True)
    except CredmgrError:  # a shell's prompt is no place to tell it
        return []
    return [one.key for one in found if one.key.startswith(incomplete)]


@app.callback(invoke_without_command=True)
def without_command(context: typer.Context) -> None:
    """Findings: what somebody should know, and what became of it. Alone it lists what is open."""
    if context.invoked_subcommand is None:
        list_findings()


Key = Annotated[
    str, typer.Argument(metavar="KEY", help="The finding's key.", autocompletion=complete)
]
Keys = Annotated[
    list[str], typer.Argument(metavar="KEY…", help="Keys of findings.", autocompletion=complete)
]


@app.command("list")
def list_findings(
    *,
    severity: Annotated[
        Severity | None, typer.Option(help="Only these and worse.", metavar="SEVERITY")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Only this owner's.")] = None,
    credential: Annotated[str | None, typer.Option(help="Only this credential's.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones as well.")] = False,
    as_json: Json = False,
) -> None:
    """Show the findings that are open, the worst first. Nothing is looked at anew: `audit` does.

    [dim]Example:[/] credmgr findings list --severity critical
    """
    from credmgr.cli.reports import as_table
    from credmgr.policy.report import ranked

    log_quietly()
    with session() as state:
        found = ranked(state.store.ledger.findings(open_only=not everything))
        now = state.clock.now()
    least = severity.rank if severity else 0
    shown = [
        one
        for one in found
        if one.severity.rank >= least
        and owner in (None, one.owner)
        and credential in (None, one.credential)
    ]
    if as_json:
        json_out({"findings": [_facts(one, now) for one in shown]})
    elif shown:
        as_table.findings(shown, now)
    else:
        say("nothing is open")


@app.command("show")
def show(key: Key, *, as_json: Json = False) -> None:
    """Show everything about a finding, with its whole history.

    [dim]Example:[/] credmgr findings show default.max-age/caseforge/api-key
    """
    log_quietly()
    with session() as state:
        every = state.store.ledger.findings_of(key)
        if not every:
            raise UsageError(f"no finding {key}", hint=HINT)
        history = state.store.audit.records(0, MOST, key)
        now = state.clock.now()
    if as_json:
        told = [{"at": one.at, **asdict(one.event)} for one in history]
        json_out({"finding": _facts(every[-1], now), "times": len(every), "history": told})
        return
    _show(every[-1], now)
    heading("History")
    lines([_event(one) for one in history])


def require(state: "App", keys: Sequence[str]) -> None:
    """Make sure that findings are open before anything is done to any of them.

    Raises:
        UsageError: One is not.
    """
    known = {one.key for one in state.store.ledger.findings(open_only=True)}
    for key in keys:
        if key not in known:
            raise UsageError(f"no finding {key} is open", hint=HINT)


def _facts(finding: "Finding", now: "datetime") -> dict[str, object]:
    return {**asdict(finding), "standing": finding.standing(now)}


def _show(finding: "Finding", now: "datetime") -> None:
    from credmgr.cli.reports import as_table

    say(f"{as_table.severity(finding.severity)} {plain(finding.text)}")
    said = {
        "standing": as_table.standing(finding, now),
        "since": ago(finding.opened_at, now),
        "resolved": ago(finding.resolved_at, now) if finding.resolved_at else "",
        "seen by": plain(finding.acknowledged_by),
        "owner": plain(finding.owner),
        "environment": plain(finding.environment),
        "rule": plain(finding.rule),
        "what to do": plain(finding.remedy),
        "source": plain(finding.source),
        "exempted by": plain(finding.exempted_by),
        "because": plain(finding.exempted_why),
    }
    fields({name: text for name, text in said.items() if text})


def _event(record: "AuditRecord") -> tuple[str, ...]:
    event = record.event
    facts = " ".join(f"{name}={text}" for name, text in event.facts.items() if name != "text")
    return (
        f"[dim]{record.at:%Y-%m-%d %H:%M:%S}[/]",
        plain(event.action.removeprefix("finding.")),
        plain(event.actor),
        f"[dim]{plain(facts)}[/]",
    )
