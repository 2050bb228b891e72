"""`credmgr revoke NAME`: end a secret's life before its time."""

from typing import TYPE_CHECKING, Annotated

import typer

from credmgr.cli.exits import Exit
from credmgr.cli.names import Named
from credmgr.cli.output import Json, Yes, confirm, paragraph, plain
from credmgr.cli.rotate import finish, silent, tell
from credmgr.cli.session import log_quietly, session
from credmgr.errors import UsageError

if TYPE_CHECKING:
    from credmgr.broker.purging import Purged
    from credmgr.model.names import Name
    from credmgr.model.rotation import Rotation
    from credmgr.rotation.runbook import Runbook, Seen


def revoke(
    name: Named,
    *,
    leaked: Annotated[
        bool, typer.Option("--leaked", help="Emergency: replace the current secret, no overlap.")
    ] = False,
    previous: Annotated[
        bool, typer.Option("--previous", help="End the overlap now: the old secret dies.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Revoke a secret now, and return when it is dead.

    Or when a person has to act. Every running daemon drops the tokens made from it before that.
    With neither option, the last secret of a credential that the
    manifest no longer declares.

    [dim]Example:[/] credmgr revoke caseforge/api-key --leaked --yes
    """
    from credmgr.model.names import Name
    from credmgr.rotation.runbook import Runbook

    if leaked and previous:
        raise UsageError("--leaked and --previous exclude each other")
    log_quietly()
    with session() as app:
        app.store.ledger.enrolled(Name(name))
        confirm(_question(name, leaked=leaked, previous=previous), yes=yes)
        act = _leaked if leaked else _previous if previous else _retire
        row = act(Runbook(app.engine), Name(name), silent if as_json else tell)
        purged = app.purge(Name(name))
    if not as_json:
        _tell(purged)
    finish(row, as_json=as_json, told=True, tokens=purged)
    if purged.silent:
        raise typer.Exit(Exit.UNAVAILABLE)


def _tell(purged: "Purged") -> None:
    if purged.done:
        paragraph(f"The tokens are gone from the memory of {plain(', '.join(purged.done))}.")
    for owner in purged.silent:
        paragraph(f"[bold]{plain(owner)}[/] has not said that it dropped the tokens: restart it.")


def _question(name: str, *, leaked: bool, previous: bool) -> str:
    if leaked:
        return f"Replace the secret of {name} and kill it without an overlap?"
    if previous:
        return f"Kill the old secret of {name} now, whoever still uses it?"
    return f"Kill the last secret of {name}, and remove every copy?"


def _leaked(runbook: "Runbook", name: "Name", seen: "Seen") -> "Rotation":
    return runbook.leaked(name, seen)


def _previous(runbook: "Runbook", name: "Name", seen: "Seen") -> "Rotation":
    return runbook.follow(runbook.hurry(name), seen)


def _retire(runbook: "Runbook", name: "Name", seen: "Seen") -> "Rotation":
    return runbook.follow(runbook.retire(name), seen)
