"""`credmgr plan`: what applying the manifest would change."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from credmgr.cli.exits import Exit
from credmgr.cli.output import Json, json_out, paragraph, plain, say
from credmgr.cli.session import log_quietly, session

if TYPE_CHECKING:
    from credmgr.manifest.plan import Plan, Step

_SIGNS: Final = {
    "Add": ("+", "green", "is new"),
    "Change": ("~", "yellow", "changes"),
    "Reinstate": ("+", "green", "is declared again"),
    "Retire": ("-", "red", "is retired"),
    "Refused": ("!", "bold red", "cannot change like this"),
}


def plan(
    *,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 10 when something would change.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what `apply` would change, and what follows from it.

    [dim]Example:[/] credmgr plan --exit-code
    """
    log_quietly()
    with session() as app:
        planned = app.plan()
    if as_json:
        json_out({"changes": [facts(step) for step in planned.changing]})
    else:
        show(planned)
    if exit_code and planned.changing:
        raise typer.Exit(Exit.CHANGES)


def show(planned: "Plan") -> None:
    """The plan for a person."""
    for step in planned.changing:
        sign, colour, what = _SIGNS[type(step).__name__]
        say(f"[{colour}]{sign} [bold]{plain(step.name)}[/] {what}[/]")
        for line in step.describe():
            paragraph(plain(line), indent=4)
    same = len(planned.steps) - len(planned.changing)
    if not planned.changing:
        say(f"[green]nothing to change[/]: {same} credential{'s' * (same != 1)} as declared")
    elif same:
        say(f"[dim]  {same} more unchanged[/]")


def facts(step: "Step") -> dict[str, object]:
    """One step for a script."""
    changes = getattr(step, "changes", ())
    return {
        "action": type(step).__name__.lower(),
        "credential": step.name,
        "fields": [{"field": c.field, "old": c.old, "new": c.new} for c in changes],
        "consequences": list(step.describe())[len(changes) :],
    }
