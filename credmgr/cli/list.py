"""`credmgr list`: which credentials there are."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from credmgr.cli.inventory import Item, inventory
from credmgr.cli.output import Json, json_out, plain, say
from credmgr.cli.session import log_quietly, session
from credmgr.cli.table import table
from credmgr.model.credential import CredentialStatus, Environment, Kind

COLUMNS: Final = ("CREDENTIAL", "KIND", "ENV", "ISSUER", "OWNER", "STATUS", "STORE")
EXPENDABLE: Final = ("STORE", "OWNER", "ISSUER")


def list_credentials(  # noqa: PLR0913 (one for each filter)
    *,
    owner: Annotated[str | None, typer.Option(help="Only this owner's.")] = None,
    env: Annotated[Environment | None, typer.Option(help="Only of this environment.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only of this kind.")] = None,
    issuer: Annotated[str | None, typer.Option(help="Only of this issuer.")] = None,
    status: Annotated[CredentialStatus | None, typer.Option(help="Only of this status.")] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Print the names alone, one a line.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List credentials, all or those that every filter lets through.

    [dim]Example:[/] credmgr list --env production --names | xargs -n 1 credmgr show
    """
    log_quietly()
    wanted = {
        "owner": owner,
        "environment": env,
        "kind": kind,
        "issuer": issuer,
        "status": status,
    }
    with session() as app:
        found = [one for one in inventory(app) if _matches(one, wanted)]
    if as_json:
        json_out({"credentials": [one.facts() for one in found]})
    elif names:
        for one in found:
            say(plain(one.name))
    else:
        _show(found)


def _matches(item: Item, wanted: dict[str, str | None]) -> bool:
    facts = item.facts()
    return all(value is None or facts[name] == value for name, value in wanted.items())


def _show(found: Sequence[Item]) -> None:
    if not found:
        say("no credential is like that")
        return
    rows = [
        (
            one.title(),
            str(one.enrolled.credential.kind),
            str(one.enrolled.credential.environment),
            str(one.enrolled.credential.issuer),
            plain(one.enrolled.credential.owner),
            str(one.enrolled.status),
            str(one.enrolled.credential.store),
        )
        for one in found
    ]
    table(COLUMNS, rows, expendable=EXPENDABLE)
