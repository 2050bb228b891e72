"""`credmgr distribute`: bring every copy up to date now."""

import typer

from credmgr.cli.copies import NamedOnes, facts, looked_at, show, verdict
from credmgr.cli.output import Json, json_out
from credmgr.cli.session import log_quietly, session


def distribute(names: NamedOnes = None, *, as_json: Json = False) -> None:
    """Write every copy that is behind now, and show how all of them are.

    The daemon does this by itself; a copy that could not be written is tried again, ever more
    slowly. This tries all of them at once. What somebody else changed is treated as the target's
    `drift` says.

    [dim]Example:[/] credmgr distribute caseforge/api-key
    """
    from credmgr.cli.progress import counter
    from credmgr.distribution.keeper import ORDINARY

    log_quietly()
    with session() as app:
        with counter("copies looked at") as seen:
            copies = looked_at(app, names or (), ORDINARY, seen)
        now = app.clock.now()
    if as_json:
        json_out({"copies": facts(copies)})
    else:
        show(copies, now)
    raise typer.Exit(verdict(copies))
