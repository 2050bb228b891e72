"""A token on every request of httpx, and another one when it is refused (`credmgr[httpx]`)."""

from collections.abc import AsyncGenerator, Collection, Generator
from typing import Final

import anyio.to_thread
import httpx

from credmgr.client.source import TokenSource

_UNAUTHORIZED: Final = 401


class CredmgrAuth(httpx.Auth):
    """Sends a valid token; on a 401 reports it, and tries once more with the next.

    For `httpx.Client` and `httpx.AsyncClient` alike. A request whose body is a stream cannot be
    sent twice: its 401 is reported and handed on.

    Args:
        of: The credential at credmgr, or a source to share with others.
        scopes: What the token is for; all that is granted unless given.
        audience: For whom it is meant.
    """

    def __init__(
        self,
        of: str | TokenSource,
        *,
        scopes: Collection[str] = (),
        audience: str | None = None,
    ) -> None:
        if isinstance(of, str):
            of = TokenSource(of, scopes=scopes, audience=audience)
        self._source = of

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """One request, or two."""
        token, again = self._source.token(), _can_be_repeated(request)
        response = yield _bearing(request, token)
        if self._refused(response, token) and again:
            yield _bearing(request, self._source.token())

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """The same, without holding up the event loop."""
        token, again = await self._token(), _can_be_repeated(request)
        response = yield _bearing(request, token)
        if self._refused(response, token) and again:
            yield _bearing(request, await self._token())

    async def _token(self) -> str:
        at_hand = self._source.at_hand()
        return at_hand or str(await anyio.to_thread.run_sync(self._source.token))

    def _refused(self, response: httpx.Response, token: str) -> bool:
        """Whether the token was refused, which is reported."""
        refused = response.status_code == _UNAUTHORIZED
        if refused:
            self._source.reject(token)
        return refused


def _can_be_repeated(request: httpx.Request) -> bool:
    """Whether its body is there whole; asked before it is sent."""
    return isinstance(request.stream, httpx.ByteStream)


def _bearing(request: httpx.Request, token: str) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {token}"
    return request
