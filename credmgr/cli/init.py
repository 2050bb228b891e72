"""`credmgr init`: make a new installation."""

from pathlib import Path
from typing import Annotated

import typer

from credmgr.cli.output import Json, fields, heading, json_out, plain, say
from credmgr.cli.session import log_quietly


def init(
    folder: Annotated[Path, typer.Argument(help="Where; made with mode 0700.")] = Path("credmgr"),
    *,
    as_json: Json = False,
) -> None:
    """Make a folder with a manifest, keys and a state database.

    Everything is embedded: an encrypted local store, SQLite, and a manifest that points at the
    CaseForge sandbox. Nothing that exists is overwritten.

    [dim]Example:[/] credmgr init ~/credmgr
    """
    from credmgr.cli import home

    log_quietly()
    manifest = home.make(folder, home.starter(home.MANIFEST))
    if as_json:
        json_out({"manifest": manifest.files[0], "folder": manifest.home})
        return
    say(f"[green]made[/] [bold]{plain(manifest.home)}[/]")
    fields(
        {
            home.MANIFEST: "what is managed; edit it first",
            home.MASTER_KEY: "opens everything else; back it up apart from the rest",
            "keyring.json": "data keys, wrapped by the master key",
            "state.db": "what is known, and the audit log; never a secret",
        }
    )
    heading("Next")
    fields(
        {
            f"export CREDMGR_MANIFEST={plain(manifest.files[0])}": "",
            "credmgr sandbox": "a CaseForge to try it with, in a terminal of its own",
            "credmgr apply": "make the manifest's credentials known",
            "credmgr run": "keep them alive",
        }
    )
