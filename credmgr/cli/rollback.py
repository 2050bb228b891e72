"""`credmgr rollback NAME`: back to the old secret."""

import typer

from credmgr.cli.exits import Exit
from credmgr.cli.names import Named
from credmgr.cli.output import Json
from credmgr.cli.rotate import Wait, finish, silent, tell
from credmgr.cli.session import log_quietly, session


def rollback(name: Named, *, wait: Wait = False, as_json: Json = False) -> None:
    """Give the rotation in flight up, and go back to the old secret.

    Consumers read the old secret again, and the new one is revoked. Possible until the overlap is
    over. Exits 0 when the old secret is back.

    [dim]Example:[/] credmgr rollback caseforge/api-key
    """
    from credmgr.model.names import Name
    from credmgr.rotation.runbook import Runbook

    log_quietly()
    with session() as app:
        runbook = Runbook(app.engine)
        row = runbook.rollback(Name(name))
        if wait:
            row = runbook.follow(row, silent if as_json else tell)
    try:
        finish(row, as_json=as_json, told=wait)
    except typer.Exit as end:
        if end.exit_code != Exit.FAILED:
            raise  # an aborted rotation is what was asked for; one that waits for a person is not
