"""`/v1/findings`: what somebody should know, for operators."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from credmgr.api.callers import Caller
from credmgr.api.house import House
from credmgr.api.operation import Access, Operation
from credmgr.api.rendering import as_json

SCHEMA: Final = {
    "type": "object",
    "required": ["findings"],
    "properties": {
        "findings": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["key", "severity", "text", "opened_at"],
                "properties": {
                    "key": {"type": "string"},
                    "severity": {"type": "string"},
                    "text": {"type": "string"},
                    "opened_at": {"type": "string"},
                    "acknowledged_by": {"type": "string"},
                    "standing": {"type": "string"},
                    "rule": {"type": "string"},
                    "credential": {"type": "string"},
                    "owner": {"type": "string"},
                    "environment": {"type": "string"},
                    "remedy": {"type": "string"},
                    "source": {"type": "string"},
                },
            },
        }
    },
}


class Findings:
    """The route of findings."""

    def __init__(self, house: House) -> None:
        self._house = house

    def operations(self) -> Sequence[Operation]:
        """What may be asked."""
        return (
            Operation(
                "GET",
                "/v1/findings",
                Access.OPERATOR,
                self.open_ones,
                "The findings that are open, oldest first.",
                {200: SCHEMA},
            ),
        )

    async def open_ones(self, _request: Request, _caller: Caller | None) -> Response:
        """Those that are open."""
        ledger = self._house.app.store.ledger
        found = await self._house.work.do(ledger.findings, open_only=True)
        now = self._house.app.clock.now()
        told = [{**asdict(one), "standing": one.standing(now).value} for one in found]
        return as_json({"findings": told})
