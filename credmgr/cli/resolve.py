"""`credmgr resolve NAME`: decide about a rotation that waits for a person."""

from typing import TYPE_CHECKING, Annotated

import typer

from credmgr.cli.names import Named
from credmgr.cli.output import Json
from credmgr.cli.rotate import finish
from credmgr.cli.session import log_quietly, session
from credmgr.errors import UsageError

if TYPE_CHECKING:
    from credmgr.rotation.resolving import Resolution


def resolve(  # noqa: PLR0913 (one for each decision)
    name: Named,
    *,
    retry: Annotated[bool, typer.Option("--retry", help="The cause is mended: go on.")] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Give it up: back to the old secret.")
    ] = False,
    revoked: Annotated[
        bool, typer.Option("--revoked", help="The secret was revoked by hand.")
    ] = False,
    close: Annotated[
        bool, typer.Option("--close", help="End it as it is; what may live stays on record.")
    ] = False,
    reason: Annotated[
        str, typer.Option(help="Why, for the record; required by --abort and --close.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Decide how a rotation that waits for a person goes on.

    [dim]Example:[/] credmgr resolve caseforge/api-key --abort --reason 'wrong scopes ordered'
    """
    from credmgr.model.names import Name
    from credmgr.rotation.runbook import Runbook

    given = {"retry": retry, "abort": abort, "revoked": revoked, "close": close}
    resolution = _chosen([word for word, said in given.items() if said], reason)
    log_quietly()
    with session() as app:
        row = Runbook(app.engine).resolve(Name(name), resolution, reason or "as an operator says")
    finish(row, as_json=as_json)


def _chosen(said: list[str], reason: str) -> "Resolution":
    from credmgr.rotation.resolving import Resolution

    if len(said) != 1:
        raise UsageError("say exactly one of --retry, --abort, --revoked and --close")
    resolution = Resolution(said[0])
    if resolution in (Resolution.ABORT, Resolution.CLOSE) and not reason.strip():
        raise UsageError(f"--{resolution} needs a --reason, for the record")
    return resolution
