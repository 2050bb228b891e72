"""`credmgr migrate NAME --to BACKEND`: move a credential's store."""

from typing import TYPE_CHECKING, Annotated

import typer

from credmgr.cli.names import Named
from credmgr.cli.output import Json, Yes, confirm, json_out, paragraph, plain
from credmgr.cli.session import log_quietly, session
from credmgr.errors import UsageError

if TYPE_CHECKING:
    from credmgr.bootstrap import App
    from credmgr.distribution.moving import Moved, Mover
    from credmgr.model.credential import Place
    from credmgr.model.names import Name

To = Annotated[str, typer.Option("--to", help="The backend that is to be the store.")]
As = Annotated[
    str | None, typer.Option("--name", help="What it is called there; as before by default.")
]
Finish = Annotated[
    bool, typer.Option("--finish", help="Delete the copies that moves have left behind.")
]


def migrate(
    name: Named,
    *,
    to: To,
    called: As = None,
    finish: Finish = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Move a credential's store to another backend, and lose nothing.

    Write the new `store` into the manifest first. The secret is copied, read back and tried at the
    issuer; then credmgr reads there. The old copy stays until you say --finish, but no rotation
    renews it: have its readers move before the next one, or declare it a target.

    [dim]Example:[/] credmgr migrate caseforge/api-key --to vault
    """
    from credmgr.model.names import Name

    log_quietly()
    with session() as app:
        place, mover = _wanted(app, Name(name), to, called), _mover(app)
        moved = mover.move(Name(name), place)
        gone: tuple[Place, ...] = ()
        if finish and moved.left:
            places = ", ".join(str(one) for one in moved.left)
            confirm(f"Delete the copy of {name} at {places}?", yes=yes)
            gone = mover.finish(Name(name))
    if as_json:
        json_out(_facts(moved, gone))
    else:
        _tell(name, moved, gone)


def _wanted(app: "App", name: "Name", to: str, called: str | None) -> "Place":
    """The place, which must be the one that the manifest says: `apply` would take it back else."""
    from credmgr.model.credential import Place
    from credmgr.model.names import Name

    if Name(to) not in app.manifest.backends:
        known = ", ".join(sorted(app.manifest.backends))
        raise UsageError(f"the manifest has no backend {to}", hint=f"it has {known}")
    declared = app.manifest.credentials.get(name)
    before = app.store.ledger.enrolled(name).credential.store
    as_declared = declared is not None and declared.store.backend == to and declared.store.name
    place = Place(Name(to), Name(called) if called else as_declared or before.name)
    if declared is None or declared.store != place:
        says = f"that its store is {declared.store}" if declared else "nothing of it"
        raise UsageError(
            f"{name} is to move to {place}, and the manifest says {says}",
            hint=f"write `store: {{backend: {place.backend}, name: {place.name}}}` there first",
        )
    return place


def _mover(app: "App") -> "Mover":
    from credmgr.distribution.moving import Mover
    from credmgr.rotation.runbook import Runbook

    ledger, audit, rotations = app.store.ledger, app.store.audit, Runbook(app.engine)
    return Mover(ledger, audit, app.outside, rotations, app.engine.tools.fingerprinter, app.actor)


def _facts(moved: "Moved", gone: "tuple[Place, ...]") -> dict[str, object]:
    return {
        "from": str(moved.old),
        "to": str(moved.new),
        "moved": moved.old != moved.new,
        "versions": list(moved.versions),
        "left": [str(place) for place in moved.left if place not in gone],
        "deleted": [str(place) for place in gone],
    }


def _tell(name: str, moved: "Moved", gone: "tuple[Place, ...]") -> None:
    if moved.old == moved.new:
        paragraph(f"[green]●[/] The store of [bold]{plain(name)}[/] is {moved.new} already.")
    else:
        paragraph(f"[green]●[/] The store of [bold]{plain(name)}[/] is {moved.new} now.")
        paragraph("What was read back from there logs in at the issuer.", 2)
    for place in moved.left:
        if place in gone:
            paragraph(f"The copy at {place} is deleted.", 2)
        else:
            backend = moved.new.backend
            paragraph(f"The copy at {place} stays, and no rotation renews it. When nobody", 2)
            paragraph(
                f"reads it any more: credmgr migrate {plain(name)} --to {backend} --finish", 2
            )
