"""What the routes share."""

from dataclasses import dataclass, field

from credmgr.api.callers import Caller, Callers
from credmgr.api.counts import Counts
from credmgr.api.work import Work
from credmgr.bootstrap import App
from credmgr.model.audit import Event
from credmgr.model.names import Name


@dataclass(frozen=True, slots=True)
class House:
    """What the routes share.

    Attributes:
        app: Everything wired.
        callers: Who may come in.
        work: Threads for what may block.
        counts: What was asked so far.
    """

    app: App
    callers: Callers
    work: Work = field(default_factory=Work)
    counts: Counts = field(default_factory=Counts)

    async def audited(self, caller: Caller | None, action: str, credential: Name) -> None:
        """Put what an operator reads into the audit log, before it is given.

        Raises:
            StateUnavailable: It cannot be written.
            Refusal: 503; too many calls wait already.
        """
        actor = caller.actor if caller else ""
        await self.work.do(self.app.store.ledger.note, Event(actor, action, credential))
