"""`/healthz` and `/readyz`: whether the process lives, and whether it can serve."""

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from credmgr.api.callers import Caller
from credmgr.api.house import House
from credmgr.api.operation import Access, Operation
from credmgr.api.rendering import as_json

SCHEMA: Final = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"const": "ok"}},
}


class Health:
    """The routes of health."""

    def __init__(self, house: House) -> None:
        self._house = house

    def operations(self) -> Sequence[Operation]:
        """What may be asked."""
        return (
            Operation(
                "GET", "/healthz", Access.ANYBODY, self.lives, "The process lives.", {200: SCHEMA}
            ),
            Operation(
                "GET",
                "/readyz",
                Access.ANYBODY,
                self.ready,
                "It can serve: the state database answers.",
                {200: SCHEMA},
                refusals=(503,),
            ),
        )

    async def lives(self, _request: Request, _caller: Caller | None) -> Response:
        """Always, when it answers at all."""
        return as_json({"status": "ok"})

    async def ready(self, _request: Request, _caller: Caller | None) -> Response:
        """When the state database answers."""
        work, ledger = self._house.work, self._house.app.store.ledger
        await work.share("readyz", ledger.heartbeats)
        return as_json({"status": "ok"})
