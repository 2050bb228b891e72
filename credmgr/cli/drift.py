"""`credmgr drift`: which copies are not what credmgr wrote."""

from typing import Annotated

import typer

from credmgr.cli.copies import WELL, NamedOnes, facts, looked_at, show, verdict
from credmgr.cli.exits import Exit
from credmgr.cli.output import Json, json_out, say
from credmgr.cli.session import log_quietly, session


def drift(
    names: NamedOnes = None,
    *,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every value, even where nothing seems changed.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Write what was changed anew, whatever `drift` says.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 10 when a copy is not current.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look at every copy where it stands, and show those that are not what credmgr wrote.

    Nothing is written, unless `--repair` says so.

    [dim]Example:[/] credmgr drift --deep
    """
    from credmgr.cli.progress import counter
    from credmgr.distribution.keeper import Care

    log_quietly()
    care = Care(deep=deep, repairs=repair, writes=repair)
    with session() as app:
        with counter("copies looked at") as seen:
            copies = looked_at(app, names or (), care, seen)
        now = app.clock.now()
    odd = [copy for copy in copies if copy.condition not in WELL]
    if as_json:
        json_out({"copies": facts(copies)})
    elif odd:
        show(odd, now)
    else:
        count = f"{len(copies)} copies are" if len(copies) != 1 else "the one copy is"
        say(f"[green]●[/] {count} what credmgr wrote")
    if repair:
        raise typer.Exit(verdict(copies))
    if exit_code and odd:
        raise typer.Exit(Exit.CHANGES)
