"""`credmgr sandbox`: CaseForge in a box."""

import sys
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Final

import typer

from credmgr.cli.output import Json, fields, plain, say
from credmgr.cli.parent import UntilEof, end_with_input
from credmgr.cli.session import current, log

if TYPE_CHECKING:
    from credmgr.sandbox.config import SandboxConfig

LIFETIME: Final = "60m"


def sandbox(
    *,
    port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1; 0 picks a free one.")] = 8660,
    database: Annotated[
        Path | None,
        typer.Option(help="SQLite file of its state.", show_default="sandbox.db"),
    ] = None,
    admin_token_file: Annotated[
        Path | None,
        typer.Option(
            help="Where its admin token is, made when missing.", show_default="sandbox.token"
        ),
    ] = None,
    token_lifetime: Annotated[
        str, typer.Option(help="Life of an access token: 60m, 90s.", metavar="DURATION")
    ] = LIFETIME,
    until_eof: UntilEof = False,
    as_json: Json = False,
) -> None:
    """Run a CaseForge to try things with.

    A token endpoint, the API, and a management API. Both files are in the manifest's folder unless
    given. Runs until Ctrl-C or SIGTERM.

    [dim]Example:[/] credmgr sandbox --port 8660 --token-lifetime 5m
    """
    from credmgr.sandbox.config import SandboxConfig
    from credmgr.sandbox.server import serve

    log(current.settings.log_level)
    home = current.settings.manifest.parent
    config = SandboxConfig(
        port=port,
        database=database or home / "sandbox.db",
        admin_token_file=admin_token_file or home / "sandbox.token",
        token_lifetime=lifetime(token_lifetime),
    )
    stop = Event()
    if until_eof:
        end_with_input(stop.set)
    serve(config, stop=stop, ready=lambda url: _announce(url, config, as_json=as_json))


def lifetime(text: str) -> timedelta:
    """The duration that was typed.

    Raises:
        UsageError: It is none.
    """
    from credmgr.errors import UsageError
    from credmgr.manifest.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--token-lifetime: {error}") from error


def _announce(url: str, config: "SandboxConfig", *, as_json: bool) -> None:
    if as_json:
        from json import dumps

        where = {"url": url, "admin_token_file": str(config.admin_token_file)}
        sys.stdout.write(f"{dumps(where)}\n")
    else:
        say(f"[green]listening[/] on [bold]{url}[/]")
        fields(
            {
                "admin token": plain(config.admin_token_file),
                "state": plain(config.database),
                "stop": "Ctrl-C",
            }
        )
    sys.stdout.flush()
