"""`credmgr history NAME`: the journal as a story."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from credmgr.cli.names import Named
from credmgr.cli.output import Json, json_out, lines, moments, plain, say, state
from credmgr.cli.session import log_quietly, session

if TYPE_CHECKING:
    from credmgr.model.rotation import JournalEntry, Rotation

Told = tuple["Rotation", Sequence["JournalEntry"]]


def history(
    name: Named,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many rotations at most.")] = 5,
    as_json: Json = False,
) -> None:
    """Tell a credential's latest rotations, the newest last.

    [dim]Example:[/] credmgr history caseforge/api-key --limit 1
    """
    from credmgr.model.names import Name

    log_quietly()
    with session() as app:
        ledger = app.store.ledger
        ledger.enrolled(Name(name))
        newest = ledger.rotations(Name(name), limit)
        told = [(row, ledger.journal(row.id)) for row in reversed(newest)]
        now = app.clock.now()
    if as_json:
        json_out([{**asdict(row), "journal": [asdict(e) for e in j]} for row, j in told])
        return
    for row, journal in told:
        _tell(row, journal, now)
    if not told:
        say(f"{plain(name)} was never rotated")


def _tell(row: "Rotation", journal: "Sequence[JournalEntry]", now: datetime) -> None:
    took = moments((now if row.open else row.entered_at) - row.opened_at)
    over = f"open for {took}" if row.open else f"took {took}"
    title = plain(journal[0].text if journal else row.trigger)
    say(f"[bold]{title}[/]  {state(row.state)}  [dim]{over}, {str(row.id)[:8]}[/]")
    for day, entries in groupby(journal, key=lambda one: f"{one.at:%Y-%m-%d}"):
        say(f"  [dim]{day} UTC[/]")
        lines([_line(row, entry) for entry in entries])
    say()


def _line(row: "Rotation", entry: "JournalEntry") -> tuple[str, ...]:
    after = moments(entry.at - row.opened_at)
    return f"{entry.at:%H:%M:%S}", f"[dim]+{after}[/]", state(entry.state, 8), plain(entry.text)
