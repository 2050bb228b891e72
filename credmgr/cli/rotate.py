"""`credmgr rotate NAME`: replace a secret now."""

from typing import TYPE_CHECKING, Annotated

import typer

from credmgr.cli.exits import Exit
from credmgr.cli.names import Named
from credmgr.cli.output import Json, json_out, paragraph, plain, state, steps
from credmgr.cli.session import log_quietly, session

if TYPE_CHECKING:
    from credmgr.broker.purging import Purged
    from credmgr.model.rotation import Rotation

Wait = Annotated[bool, typer.Option("--wait", help="Stay until the rotation has ended.")]


def rotate(name: Named, *, wait: Wait = False, as_json: Json = False) -> None:
    """Replace a credential's secret now, with the usual overlap.

    Returns when consumers read the new one; the daemon revokes the old one after the overlap.

    [dim]Example:[/] credmgr rotate caseforge/api-key --wait
    """
    from credmgr.model.names import Name
    from credmgr.rotation.runbook import Runbook

    log_quietly()
    with session() as app:
        runbook = Runbook(app.engine)
        row = runbook.rotate(Name(name))
        if wait:
            row = runbook.follow(row, silent if as_json else tell)
    finish(row, as_json=as_json, told=wait)


def tell(row: "Rotation") -> None:
    """Where a rotation stands, one line."""
    name = f"[bold]{plain(row.credential)}[/]"
    paragraph(f"{state(row.state)}  {name}  [dim]{plain(_why(row))}[/]")


def _why(row: "Rotation") -> str:
    if row.state != "DONE":
        return row.reason or row.waiting
    dead = f"{row.old_secret_id} is revoked and refused" if row.old_secret_id else ""
    if row.retires:
        return f"{dead}; every copy is removed"
    return "; ".join(said for said in (f"consumers read {row.new_secret_id}", dead) if said)


def silent(row: "Rotation") -> None:
    """Nothing: a script wants only the end."""
    del row


def finish(
    row: "Rotation", *, as_json: bool, told: bool = False, tokens: "Purged | None" = None
) -> None:
    """Print where the rotation stands, and exit with the code that says how it went.

    Args:
        row: The rotation.
        as_json: For a script.
        told: Whether a person was told of this state already.
        tokens: Which daemons have dropped the tokens made from it, if any were asked to.
    """
    if as_json:
        from dataclasses import asdict

        json_out(
            {
                "rotation": row.id,
                "credential": row.credential,
                "state": row.state,
                "secret_id": row.new_secret_id,
                "reason": row.reason or row.waiting,
                "steps": list(row.steps),
                **({} if tokens is None else {"tokens": asdict(tokens)}),
            }
        )
    else:
        if not told:
            tell(row)
        steps(row.steps)
    if row.state == "OPERATOR" or row.steps:
        raise typer.Exit(Exit.OPERATOR)
    if row.state in ("ABORTING", "ABORTED"):
        raise typer.Exit(Exit.FAILED)
    if row.failures:
        raise typer.Exit(Exit.UNAVAILABLE)  # nothing is lost: the daemon tries again
