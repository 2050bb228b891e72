"""Who was seen reading which version of a credential, newest first."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from credmgr.cli.output import ago, heading, plain, say

if TYPE_CHECKING:
    from credmgr.model.usage import Usage


def seen(usage: "Sequence[Usage]", current: UUID | None, now: datetime) -> None:
    """Tell of each consumer whether it has moved to the current secret, and for what it reads."""
    if not usage:
        return
    heading("Seen")
    for name in sorted({use.consumer for use in usage}):
        mine = [use for use in usage if use.consumer == name]
        latest = max(mine, key=lambda use: use.last_seen)
        scopes = " ".join(sorted({scope for use in mine for scope in use.scopes}))
        where = "on the current secret" if latest.version == current else _behind(latest, mine, now)
        used = f", for {plain(scopes)}" if scopes else ""
        say(f"  [bold]{name}[/] {where}, last read {ago(latest.last_seen, now)}{used}")


def _behind(latest: "Usage", mine: "Sequence[Usage]", now: datetime) -> str:
    since = min(use.first_seen for use in mine if use.version == latest.version)
    return f"[yellow]still on an older secret[/], which it has read since {ago(since, now)}"
