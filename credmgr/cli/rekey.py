"""`credmgr rekey`: change the keys that guard everything else."""

from typing import Annotated

import typer

from credmgr.cli.output import Json, json_out, plain, say
from credmgr.cli.session import log_quietly, session


def rekey(
    *,
    data: Annotated[
        bool, typer.Option("--data", help="New data keys too: every stored value is sealed anew.")
    ] = False,
    to: Annotated[
        str | None,
        typer.Option(metavar="REFERENCE", help="Where the new master key is: file:, env: …"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Replace the master key; with --data, the data keys as well.

    Safe while the daemon runs, and when it is killed anywhere: then run it again. Without --to the
    new master key takes the place of the old one in its file.

    [dim]Example:[/] credmgr rekey --data
    """
    log_quietly()
    with session() as app:
        identity = app.rekey(to)
        stores = app.rekey_data() if data else ()
    if as_json:
        json_out({"master_key": identity, "reference": to, "resealed": stores})
        return
    say(f"[green]done[/]: the master key is now {identity}")
    for name in stores:
        say(f"  every value in {name} is sealed under a new data key")
    if to:
        say(f"[yellow]now[/] write `master_key: {plain(to)}` under `state` in the manifest")
