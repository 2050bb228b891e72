"""The routes: each operation behind the check of who is calling, and counted."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from credmgr.api.callers import Caller
from credmgr.api.credentials import Credentials
from credmgr.api.fast import FastTokens
from credmgr.api.findings import Findings
from credmgr.api.health import Health
from credmgr.api.house import House
from credmgr.api.metrics import Metrics
from credmgr.api.oauth import OAuth
from credmgr.api.openapi import OpenApi
from credmgr.api.operation import Access, Operation
from credmgr.api.problems import Refusal, not_found, refusal_of, unproven
from credmgr.api.protocol import BY_UID
from credmgr.api.reading import query_of
from credmgr.api.rotations import Rotations
from credmgr.api.secrets import Secrets
from credmgr.api.tokens import Tokens
from credmgr.errors import CredmgrError


def operations(house: House, fast: FastTokens) -> Sequence[Operation]:
    """Every route that there is."""
    parts = (
        OAuth(house),
        Tokens(house, fast),
        Secrets(house),
        Credentials(house),
        Rotations(house),
        Findings(house),
        Metrics(house),
        Health(house),
    )
    found = [one for part in parts for one in part.operations()]
    return (*found, *OpenApi(found).operations())


def router(house: House, every: Sequence[Operation]) -> ASGIApp:
    """What finds the route of a request, and refuses where there is none."""
    by_path: dict[str, list[Operation]] = {}
    for one in every:
        by_path.setdefault(one.path, []).append(one)
    found = Router(redirect_slashes=False, default=_nowhere)
    # the longest first: /reject before a credential of whatever name
    for path, ones in sorted(by_path.items(), key=lambda item: -len(item[0])):
        found.routes.append(_Addressed(path, ones, house))
    return found


class _Addressed(Route):
    """One address and what may be done there."""

    def __init__(self, path: str, ones: Sequence[Operation], house: House) -> None:
        self._by_method = {one.method: one for one in ones}
        self._house = house
        super().__init__(path, self._answer, methods=list(self._by_method))
        self.methods = set(self._by_method)  # no HEAD besides GET

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether this is the address, for whatever method; no other one is looked at then."""
        found, more = super().matches(scope)
        return (Match.FULL if found is Match.PARTIAL else found), more

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say which methods there are."""
        if scope["method"] not in self._by_method:
            allow = {"Allow": ", ".join(sorted(self._by_method))}
            self._house.counts.count(self.path, "other", 405)
            message = "The Allow header lists what this address takes."
            raise Refusal(405, "method_not_allowed", message, allow)
        await super().handle(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        one = self._by_method[request.method]
        status = 500
        try:
            response = await self._called(one, request)
            status = response.status_code
        except CredmgrError as error:
            status = refusal_of(error).status
            raise
        finally:
            self._house.counts.count(one.path, one.method, status)
        return response

    async def _called(self, one: Operation, request: Request) -> Response:
        caller = None
        if one.access in (Access.CALLER, Access.OPERATOR):
            caller = await caller_of(request, self._house)
        if one.access is Access.OPERATOR and not (caller and caller.operator):
            raise not_found()
        if one.access is not Access.CLIENT:
            request.state.query = query_of(request.scope["query_string"], one.parameters)
        return await one.handler(request, caller)


async def caller_of(request: Request, house: House) -> Caller:
    """Who is calling: by its bearer, or on the Unix socket by its user.

    Raises:
        Refusal: 401; it is not proven.
    """
    header = request.headers.get("authorization")
    if header is None:
        peer = request.scope["client"]
        known = peer is not None and peer[0] == BY_UID
        caller = house.callers.by_uid(peer[1]) if known else None
    else:
        scheme, _, bearer = header.partition(" ")
        caller = None
        if scheme.lower() == "bearer":
            caller = await house.callers.identify(bearer.strip().encode("latin-1"), house.work)
    if caller is None:
        raise unproven(tried=header is not None)
    return caller


async def _nowhere(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise not_found()
