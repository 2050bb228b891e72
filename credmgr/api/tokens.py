"""`/v1/tokens`: an access token that is valid now, as narrow as it was asked for."""

import asyncio
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from credmgr.api.callers import Caller
from credmgr.api.fast import ROUTE, FastTokens, token_facts
from credmgr.api.house import House
from credmgr.api.operation import Access, Operation
from credmgr.api.problems import NO_STORE, not_found, unavailable
from credmgr.api.reading import (
    AUDIENCE,
    FORM,
    JSON,
    SCOPE,
    audience_in,
    credential_in,
    scopes_in,
    text_in,
)
from credmgr.api.rendering import as_json
from credmgr.broker.asking import Ask
from credmgr.broker.broker import PATIENCE
from credmgr.model.token import Token

TOKEN: Final = {
    "type": "object",
    "required": ["access_token", "token_type", "expires_in", "scope"],
    "properties": {
        "access_token": {"type": "string"},
        "token_type": {"const": "Bearer"},
        "expires_in": {"type": "integer", "minimum": 0},
        "scope": {"type": "string"},
    },
}
PARAMETERS: Final = {
    "scope": {
        "schema": SCOPE,
        "description": "Scopes, a blank between each; those of the grant unless given.",
    },
    "audience": {"schema": AUDIENCE, "description": "For whom the token is meant."},
}
_REJECTED: Final = {
    "type": "object",
    "required": ["access_token"],
    "properties": {"access_token": {"type": "string", "minLength": 1}},
    "additionalProperties": False,
}


async def minted(house: House, ask: Ask) -> Token:
    """A token, for which no thread waits; one request to the issuer is for all who ask meanwhile.

    Raises:
        BrokerError: There is none.
    """
    future = asyncio.wrap_future(house.app.broker.request(ask))
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            return await asyncio.shield(future)
    except TimeoutError:
        future.add_done_callback(_unheard)
        raise unavailable("The issuer takes its time.") from None


def _unheard(future: "asyncio.Future[Token]") -> None:
    """Nobody waits for it any more; its error is told to those who come next."""
    if not future.cancelled():
        future.exception()


class Tokens:
    """The routes of tokens."""

    def __init__(self, house: House, fast: FastTokens) -> None:
        self._house, self._fast = house, fast

    def operations(self) -> Sequence[Operation]:
        """What may be asked."""
        return (
            Operation(
                "GET",
                ROUTE,
                Access.CALLER,
                self.read,
                "An access token that is valid now.",
                {200: TOKEN},
                PARAMETERS,
                refusals=(403, 503),
            ),
            Operation(
                "POST",
                "/v1/tokens/{credential:path}/reject",
                Access.CALLER,
                self.reject,
                "The API has refused this token: give it out no more.",
                {204: None},
                PARAMETERS,
                {JSON: _REJECTED, FORM: _REJECTED},
                refusals=(403, 413, 415, 503),
            ),
        )

    async def read(self, request: Request, caller: Caller | None) -> Response:
        """A token."""
        generation = self._house.callers.generation
        ask = self._ask(request, caller)
        token = await minted(self._house, ask)
        if ask.consumer is None:
            await self._house.audited(caller, "token.read", ask.credential)
        else:
            self._fast.remember(request, ask, generation)
        facts = token_facts(token, self._house.app.clock.now())
        return as_json(facts, {"Pragma": "no-cache"})

    async def reject(self, request: Request, caller: Caller | None) -> Response:
        """Whether it was the one that is given out is not told."""
        ask = self._ask(request, caller)
        token = await text_in(request, "access_token")
        self._house.app.broker.reject(ask, token)
        return Response(status_code=204, headers=NO_STORE)

    def _ask(self, request: Request, caller: Caller | None) -> Ask:
        name, fields = credential_in(request), request.state.query
        if caller is None:
            raise not_found()
        return Ask(caller.name, name, scopes_in(fields), audience_in(fields))
