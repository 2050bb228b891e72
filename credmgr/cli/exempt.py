"""`credmgr exempt`: living with it, for a reason and a time."""

from typing import Annotated

import typer

from credmgr.cli.findings import Keys, require
from credmgr.cli.lengths import length_of
from credmgr.cli.output import Json, json_out, plain, say
from credmgr.cli.session import log_quietly, session
from credmgr.errors import UsageError

LONGEST = "366d"


def exempt(
    keys: Keys,
    *,
    length: Annotated[str, typer.Option("--for", help="How long.", metavar="DURATION")],
    reason: Annotated[str, typer.Option(help="Why; it stands in every report.")],
    as_json: Json = False,
) -> None:
    """Decide to live with findings for a time: they do not count, and end by themselves.

    Who decided, why and until when is in the audit log and in every report. 366 days at most. An
    exemption outlives a finding that goes and comes back.

    [dim]Example:[/] credmgr exempt default.api-key-in-production/partner/api-key --for 90d
    --reason 'the partner has no OAuth before March'
    """
    log_quietly()
    lasting = length_of("--for", length, LONGEST)
    why = reason.strip()
    if not why:
        raise UsageError("--reason: say why", hint="it stands in every report")
    with session() as state:
        require(state, keys)
        until = state.clock.now() + lasting
        for key in keys:
            state.store.ledger.exempt_finding(key, until, why, state.actor)
        actor = state.actor
    if as_json:
        json_out({"exempt": keys, "until": until, "by": actor, "reason": why})
        return
    for key in keys:
        say(f"exempt {plain(key)} until {until:%Y-%m-%d} UTC")
