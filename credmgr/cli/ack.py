"""`credmgr ack`: somebody has seen it."""

from credmgr.cli.findings import Keys, require
from credmgr.cli.output import Json, json_out, plain, say
from credmgr.cli.session import log_quietly, session


def ack(keys: Keys, *, as_json: Json = False) -> None:
    """Say that you have seen findings: nobody is reminded any more, until one gets worse.

    They stay open, and count, until the cause is mended.

    [dim]Example:[/] credmgr ack default.max-age/caseforge/api-key
    """
    log_quietly()
    with session() as state:
        require(state, keys)
        for key in keys:
            state.store.ledger.acknowledge_finding(key, state.actor)
        actor = state.actor
    if as_json:
        json_out({"acknowledged": keys, "by": actor})
        return
    for key in keys:
        say(f"acknowledged {plain(key)}")
