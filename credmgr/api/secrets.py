"""`/v1/secrets`: the current secret of a credential."""

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from credmgr.api.callers import Caller
from credmgr.api.house import House
from credmgr.api.operation import Access, Operation
from credmgr.api.problems import not_found
from credmgr.api.reading import credential_in
from credmgr.api.rendering import as_json

SCHEMA: Final = {
    "type": "object",
    "required": ["credential", "version", "secret"],
    "properties": {
        "credential": {"type": "string"},
        "version": {"type": "string"},
        "secret": {"type": "string"},
    },
}


class Secrets:
    """The route of secrets."""

    def __init__(self, house: House) -> None:
        self._house = house

    def operations(self) -> Sequence[Operation]:
        """What may be asked."""
        return (
            Operation(
                "GET",
                "/v1/secrets/{credential:path}",
                Access.CALLER,
                self.read,
                "The current secret.",
                {200: SCHEMA},
                refusals=(503,),
            ),
        )

    async def read(self, request: Request, caller: Caller | None) -> Response:
        """The secret that consumers should use now."""
        name = credential_in(request)
        if caller is None:
            raise not_found()
        held = await self._house.work.do(self._house.app.broker.secret, caller.name, name)
        if caller.consumer is None:
            await self._house.audited(caller, "secret.read", name)
        facts = {"credential": name, "version": held.version, "secret": held.secret.reveal()}
        return as_json(facts)
