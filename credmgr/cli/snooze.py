"""`credmgr snooze`: not now."""

from typing import Annotated

import typer

from credmgr.cli.findings import Keys, require
from credmgr.cli.lengths import length_of
from credmgr.cli.output import Json, json_out, plain, say
from credmgr.cli.session import log_quietly, session

LONGEST = "30d"


def snooze(
    keys: Keys,
    *,
    length: Annotated[str, typer.Option("--for", help="How long.", metavar="DURATION")] = "7d",
    as_json: Json = False,
) -> None:
    """Be left in peace by findings for a while; then they are told again. 30 days at most.

    They stay open, and count.

    [dim]Example:[/] credmgr snooze default.max-age/caseforge/api-key --for 3d
    """
    log_quietly()
    rest = length_of("--for", length, LONGEST)
    with session() as state:
        require(state, keys)
        until = state.clock.now() + rest
        for key in keys:
            state.store.ledger.snooze_finding(key, until, state.actor)
    if as_json:
        json_out({"snoozed": keys, "until": until})
        return
    for key in keys:
        say(f"snoozed {plain(key)} until {until:%Y-%m-%d %H:%M} UTC")
