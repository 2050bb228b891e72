"""`credmgr check`: every mistake in the manifest."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from credmgr.cli.exits import Exit
from credmgr.cli.output import Json, json_out, plain, say
from credmgr.cli.session import log_quietly, manifest
from credmgr.errors import ManifestError

if TYPE_CHECKING:
    from credmgr.manifest.manifest import Manifest


def check(*, as_json: Json = False) -> None:
    """Find every mistake in the manifest, with line and remedy.

    Reads files only: no store or issuer is asked. Exits 2 when something is wrong.

    [dim]Example:[/] credmgr --manifest credmgr.yaml check
    """
    log_quietly()
    if as_json:
        _for_scripts()
        return
    found = _checked()
    count = len(found.credentials)
    files = len(found.files)
    say(
        f"[green]good[/] {plain(found.files[0])}: {count} credential{'s' * (count != 1)}"
        f" in {files} file{'s' * (files != 1)}"
    )


def _checked() -> "Manifest":
    """The manifest and its rule packs."""
    from credmgr.bootstrap import rulebook

    found = manifest()
    rulebook(found)
    return found


def _for_scripts() -> None:
    try:
        found = _checked()
    except ManifestError as error:
        json_out({"good": False, "problems": [asdict(one) for one in error.problems]})
        raise typer.Exit(Exit.USAGE) from None
    json_out(
        {
            "good": True,
            "problems": [],
            "files": found.files,
            "digest": found.digest,
            "credentials": sorted(found.credentials),
        }
    )
