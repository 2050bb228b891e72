"""`credmgr log`: the audit log."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from credmgr.cli.names import complete
from credmgr.cli.output import Json, fields, json_out, plain, say
from credmgr.cli.session import log_quietly, session
from credmgr.cli.table import table

if TYPE_CHECKING:
    from credmgr.bootstrap import App
    from credmgr.model.audit import AuditRecord

PAGE: Final = 1000
COLUMNS: Final = ("#", "WHEN (UTC)", "ACTION", "SUBJECT", "ACTOR", "FACTS")
EXPENDABLE: Final = ("ACTOR",)
_UNSAID: Final = frozenset({"rotation", "trigger"})

app = typer.Typer(help="The audit log: who did what, when, sealed record by record.")
After = Annotated[int, typer.Option(min=0, help="Only records behind this number.")]


@app.command("show")
def show(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="One credential only.", autocompletion=complete),
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many records at most.")] = 50,
    after: After = 0,
    as_json: Json = False,
) -> None:
    """Show records: the latest, or those behind --after.

    [dim]Example:[/] credmgr log show caseforge/api-key --limit 20
    """
    log_quietly()
    with session() as state:
        if after:
            records = list(state.store.audit.records(after, limit, name))
        else:
            records = _latest(state, limit, name)
    if as_json:
        json_out([_facts(one) for one in records])
        return
    table(COLUMNS, [_row(one) for one in records], expendable=EXPENDABLE)


@app.command("verify")
def verify(*, as_json: Json = False) -> None:
    """Prove that no record was edited, deleted, reordered or cut off.

    Exits 5 and names the record where one was.

    [dim]Example:[/] credmgr log verify
    """
    log_quietly()
    with session() as state:
        head = state.verify_audit()
    if as_json:
        json_out({"verified": True, "records": head.sequence, "head": head.mac})
        return
    say(f"[green]verified[/] {head.sequence} records")
    fields({"head": head.mac, "sealed": f"{head.at:%Y-%m-%d %H:%M:%S} UTC"})


@app.command("export")
def export(*, after: After = 0) -> None:
    """Write every record as a line of JSON.

    To keep where nobody on this machine can change it.

    [dim]Example:[/] credmgr log export --after 1200 >> audit.jsonl
    """
    log_quietly()
    with session() as state:
        for record in _all(state, after):
            sys.stdout.write(f"{json.dumps(_facts(record))}\n")


def _latest(state: "App", limit: int, name: str | None) -> list["AuditRecord"]:
    if name is None:
        head = state.store.audit.checkpoint().sequence
        return list(state.store.audit.records(max(head - limit, 0), limit))
    return list(_all(state, 0, name))[-limit:]


def _all(state: "App", after: int, name: str | None = None) -> Iterator["AuditRecord"]:
    while page := state.store.audit.records(after, PAGE, name):
        yield from page
        after = page[-1].sequence


def _facts(record: "AuditRecord") -> dict[str, object]:
    return {
        "sequence": record.sequence,
        "at": record.at.isoformat(),
        **asdict(record.event),
        "mac": record.mac,
    }


def _row(record: "AuditRecord") -> tuple[str, ...]:
    event = record.event
    said = (f"{key}={value}" for key, value in event.facts.items() if value and key not in _UNSAID)
    return (
        str(record.sequence),
        f"[dim]{record.at:%Y-%m-%d %H:%M:%S}[/]",
        plain(event.action),
        f"[bold]{plain(event.subject)}[/]",
        plain(event.actor),
        f"[dim]{plain(' '.join(said))}[/]",
    )
