"""`credmgr token NAME`: an access token, for a program that sends it."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from credmgr.cli.names import Named
from credmgr.cli.output import Json, json_out
from credmgr.cli.session import log_quietly, session
from credmgr.errors import TokenUnavailable, UsageError

if TYPE_CHECKING:
    from credmgr.bootstrap import App
    from credmgr.client import Fresh
    from credmgr.model.names import Name

Scopes = Annotated[
    list[str] | None, typer.Option("--scope", help="What it is for; may be said several times.")
]
Audience = Annotated[str | None, typer.Option("--audience", help="For whom it is meant.")]


def token(
    name: Named,
    *,
    scope: Scopes = None,
    audience: Audience = None,
    header: Annotated[
        bool, typer.Option("--header", help="Print a whole Authorization header, for curl -H @-.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print it even where a person can see it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print an access token of a credential that is valid now.

    The daemon's, if one runs, so that it is minted once for all; else one of its own. To standard
    output; on a terminal only with --show. The audit log keeps who read it.

    [dim]Example:[/] credmgr token caseforge/client-secret --header | curl -H @- URL
    """
    from credmgr.model.names import Name

    if sys.stdout.isatty() and not show:
        raise UsageError(
            "a token is not printed on a terminal, where it would stay in the scrollback",
            hint="send it to a program or file, or say --show",
        )
    log_quietly()
    with session() as app:
        fresh = obtained(app, Name(name), frozenset(" ".join(scope or ()).split()), audience)
    if as_json:
        json_out(
            {
                "access_token": fresh.value,
                "token_type": "Bearer",
                "expires_in": int(fresh.life.total_seconds()),
                "scope": " ".join(sorted(fresh.scopes)),
            }
        )
        return
    sys.stdout.write(f"Authorization: Bearer {fresh.value}" if header else fresh.value)
    sys.stdout.write("\n" if header or sys.stdout.isatty() else "")


def obtained(app: "App", name: "Name", scopes: frozenset[str], audience: str | None) -> "Fresh":
    """A token by way of the daemon, or of this process where none answers; either is recorded.

    Raises:
        CredmgrError: There is none.
    """
    from credmgr.client import Daemon

    app.store.ledger.enrolled(name)
    socket = app.manifest.api.socket
    if app.manifest.api.enabled and socket.exists():
        try:
            return Daemon(socket).token(name, scopes, audience)
        except TokenUnavailable:
            pass  # it is not there, or has none; what is wrong will be told better here
    return _own(app, name, scopes, audience)


def _own(app: "App", name: "Name", scopes: frozenset[str], audience: str | None) -> "Fresh":
    from credmgr.broker.asking import Ask
    from credmgr.client import Fresh
    from credmgr.model.audit import Event

    made = app.broker.token(Ask(None, name, scopes, audience))
    app.store.audit.append(Event(app.actor, "token.read", name))
    return Fresh(made.value.reveal(), made.expires_at - app.clock.now(), made.scopes)
