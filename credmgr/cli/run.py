"""`credmgr run`: the daemon, in the foreground."""

import os
from contextlib import nullcontext
from socket import gethostname
from typing import Annotated

import typer

from credmgr.cli.exits import Exit
from credmgr.cli.parent import UntilEof, end_with_input
from credmgr.cli.session import current, log, manifest, session


def run(
    *,
    apply: Annotated[
        bool,
        typer.Option("--apply", help="Apply the manifest at the start and at every SIGHUP."),
    ] = False,
    until_eof: UntilEof = False,
) -> None:
    """Rotate what is due, in the foreground, until told to stop.

    SIGTERM and Ctrl-C let it finish what was begun and exit 0. SIGHUP reads the manifest anew; a
    wrong one leaves the old one in force. Logs to standard error: a story on a terminal, JSON
    elsewhere.

    [dim]Example:[/] credmgr run --apply
    """
    log(current.settings.log_level)
    serve(applies=apply, until_eof=until_eof)


def serve(*, applies: bool, until_eof: bool = False) -> None:
    """Work until told to stop.

    Args:
        applies: Whether a manifest is applied when it is read.
        until_eof: Whether to stop when standard input ends.

    Raises:
        NotAllowedNow: The manifest cannot be applied.
    """
    from credmgr.api.server import served
    from credmgr.daemon import Daemon, systemd_notifier

    with session(migrate=True, actor=f"daemon@{gethostname()}") as app:
        app.rulebook()  # a wrong pack is told now, not at every tick
        daemon = Daemon(app, manifest, systemd_notifier(), applies=applies)
        if until_eof:
            end_with_input(daemon.stop)
        daemon.take_up(app.plan())
        with served(app) if app.manifest.api.enabled else nullcontext():
            rested = daemon.run()
        if not rested:
            os._exit(Exit.OK)  # a call that hangs is not waited for; every step survives a kill
