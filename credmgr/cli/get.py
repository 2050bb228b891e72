"""`credmgr get NAME`: the current secret, for a program that reads it."""

import sys
from typing import Annotated

import typer

from credmgr.cli.names import Named
from credmgr.cli.session import log_quietly, session
from credmgr.errors import UsageError


def get(
    name: Named,
    *,
    show: Annotated[
        bool, typer.Option("--show", help="Print it even where a person can see it.")
    ] = False,
) -> None:
    """Print a credential's current secret.

    To standard output, without a line end. On a terminal only with --show: there it stays in the
    scrollback, and in whatever records it. The audit log keeps who read it.

    [dim]Example:[/] credmgr get caseforge/api-key | deploy-tool --key-from-stdin
    """
    from credmgr.model.names import Name

    if sys.stdout.isatty() and not show:
        raise UsageError(
            "a secret is not printed on a terminal, where it would stay in the scrollback",
            hint="send it to a program or file, or say --show",
        )
    log_quietly()
    with session() as app:
        secret = app.reveal(Name(name))
    sys.stdout.write(secret.reveal())
    sys.stdout.write("\n" if sys.stdout.isatty() else "")
