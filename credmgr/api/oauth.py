"""`POST /oauth/token`: credmgr as an OAuth 2.0 token endpoint (RFC 6749 §4.4, client credentials).

Any existing OAuth client works by changing one address: its client id is the consumer's name, its
client secret the consumer's bearer. `audience` (or RFC 8707's `resource`) and `scope` say which of
the credentials that the consumer has tokens of is meant.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote_plus

from starlette.requests import Request
from starlette.responses import Response

from credmgr.api.callers import Caller
from credmgr.api.fast import token_facts
from credmgr.api.house import House
from credmgr.api.operation import Access, Operation
from credmgr.api.problems import NO_STORE, REALM, Refusal, refusal_of, unavailable
from credmgr.api.protocol import BY_UID
from credmgr.api.reading import AUDIENCE, FORM, SCOPE, audience_in, body_of, pairs, scopes_in
from credmgr.api.rendering import as_json
from credmgr.api.tokens import TOKEN, minted
from credmgr.errors import Ambiguous, CredmgrError, NotGranted, ScopeNotGranted

PATH: Final = "/oauth/token"
GRANT: Final = "client_credentials"
_NO_STORE: Final[Mapping[str, str]] = {**NO_STORE, "Pragma": "no-cache"}
_CHALLENGE: Final[Mapping[str, str]] = {"WWW-Authenticate": f'Basic realm="{REALM}"'}
_BODY: Final = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {"const": GRANT},
        "scope": SCOPE,
        "audience": AUDIENCE,
        "resource": AUDIENCE,
        "client_id": {"type": "string"},
        "client_secret": {"type": "string"},
    },
    "additionalProperties": {"type": "string"},
}
ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}


class OAuth:
    """The token endpoint."""

    def __init__(self, house: House) -> None:
        self._house = house

    def operations(self) -> Sequence[Operation]:
        """What may be asked."""
        return (
            Operation(
                "POST",
                PATH,
                Access.CLIENT,
                self.token,
                "An access token, by the client credentials grant of OAuth 2.0.",
                {200: TOKEN},
                body={FORM: _BODY},
                refusals=(401, 413, 503),
            ),
        )

    async def token(self, request: Request, _caller: Caller | None) -> Response:
        """A token, or an error in the form of RFC 6749 §5.2."""
        try:
            return await self._token(request)
        except CredmgrError as error:
            return _error(_as_oauth(error))

    async def _token(self, request: Request) -> Response:
        form = pairs(await body_of(request, FORM), "body")
        client = await self._client(request, form)
        if "grant_type" not in form:
            raise _refuse("invalid_request", "The parameter grant_type is missing.")
        if form["grant_type"] != GRANT:
            raise _refuse("unsupported_grant_type", f"Only {GRANT} is served.")
        house, scopes = self._house, _scopes(form)
        audience = _audience(form)
        ask = house.app.broker.choose(client.name, scopes, audience)
        token = house.app.broker.cached(ask) or await minted(house, ask)
        return as_json(token_facts(token, house.app.clock.now()), _NO_STORE)

    async def _client(self, request: Request, form: Mapping[str, str]) -> Caller:
        """Who asks: by client_secret_basic, client_secret_post, or on the Unix socket by user."""
        header = request.headers.get("authorization")
        posted = form.get("client_secret")
        if header is not None and posted is not None:
            raise _refuse("invalid_request", "The client authenticates in two ways.")
        if header is not None:
            name, bearer = _basic(header)
        elif posted is not None:
            name, bearer = form.get("client_id", ""), posted
        else:
            return self._by_user(request, form)
        callers = self._house.callers
        caller = await callers.identify(bearer.encode(), self._house.work)
        if caller is None or caller.name != name or form.get("client_id", name) != name:
            raise _invalid_client()
        return caller

    def _by_user(self, request: Request, form: Mapping[str, str]) -> Caller:
        peer = request.scope["client"]
        caller = None
        if peer is not None and peer[0] == BY_UID:
            caller = self._house.callers.by_uid(peer[1])
        if caller is None or form.get("client_id", caller.name) != caller.name:
            raise _invalid_client()
        return caller


def _basic(header: str) -> tuple[str, str]:
    """Name and bearer of an HTTP Basic header, each form-encoded (RFC 6749 §2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
        name, colon, bearer = text.partition(":")
        if scheme.lower() == "basic" and colon:
            return unquote_plus(name, errors="strict"), unquote_plus(bearer, errors="strict")
    except (binascii.Error, UnicodeDecodeError):
        pass
    raise _invalid_client()


def _scopes(form: Mapping[str, str]) -> frozenset[str]:
    try:
        return scopes_in(form)
    except Refusal as error:
        raise _refuse("invalid_scope", error.message) from None


def _audience(form: Mapping[str, str]) -> str | None:
    audience, resource = audience_in(form), audience_in(form, "resource")
    if audience is not None and resource is not None and audience != resource:
        raise _refuse("invalid_target", "The audience and the resource differ.")
    return audience or resource


def _as_oauth(error: CredmgrError) -> Refusal:
    """An error by the codes of RFC 6749 §5.2 and RFC 8707 §2."""
    match error:
        case NotGranted() | Ambiguous():
            return _refuse(
                "invalid_target",
                "Say by audience or resource which credential is meant.",
            )
        case ScopeNotGranted():
            return _refuse("invalid_scope", "The client has not all of these scopes.")
        case Refusal(status=400 | 401):
            return error
        case Refusal(status=413 | 415):
            return Refusal(400, "invalid_request", error.message, error.headers)
        case _:
            return _failed(error)


def _failed(error: CredmgrError) -> Refusal:
    refusal = refusal_of(error)
    if refusal.status == 503:  # noqa: PLR2004
        reason = "temporarily_unavailable"
    else:
        refusal, reason = unavailable("It cannot be had now."), "server_error"
    return Refusal(refusal.status, reason, refusal.message, refusal.headers)


def _refuse(reason: str, message: str) -> Refusal:
    return Refusal(400, reason, message)


def _invalid_client() -> Refusal:
    message = "The client id is a consumer's name, the client secret its bearer."
    return Refusal(401, "invalid_client", message, _CHALLENGE)


def _error(refusal: Refusal) -> Response:
    body = {"error": refusal.reason, "error_description": refusal.message}
    headers = {**_NO_STORE, **refusal.headers}
    return Response(json.dumps(body), refusal.status, headers, media_type="application/json")
