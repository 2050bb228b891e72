"""The command itself."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from credmgr.cli.session import current, log, log_quietly


def demo(
    *,
    serve: Annotated[
        bool, typer.Option("--serve", help="Keep it running until Ctrl-C, in the folder --home.")
    ] = False,
    home: Annotated[
        Path, typer.Option(help="Folder of --serve; made at first, gone on with later.")
    ] = Path(".run"),
    port: Annotated[int, typer.Option(help="TCP port of a new --serve's sandbox.")] = 8660,
) -> None:
    """Live through a credential's life, and check every step.

    Against a CaseForge sandbox: first secrets, a login, a scheduled rotation under load, a
    rollback, a leaked key, three findings, the audit log; under a minute, nothing is left behind.
    With --serve, a daemon and a sandbox to play with.

    [dim]Example:[/] credmgr demo --serve --home .run
    """
    if serve:
        from credmgr.cli.demo.serving import keep_running, prepare

        manifest, port = prepare(home, port)
        current.settings = replace(current.settings, manifest=manifest)
        log(current.settings.log_level)
        keep_running(manifest, port)
        return
    from credmgr.cli.demo.story import tell

    log_quietly()
    tell()
