"""The authorization server: RFC 6749 client credentials, 7009, 7517, 7662 and 8414."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from credmgr.sandbox.answers import NO_STORE, Refusal, answered, bad_request
from credmgr.sandbox.catalogue import ALL_SCOPES, CLIENT_CREDENTIALS
from credmgr.sandbox.clients import METHODS, Client, Clients, read_form
from credmgr.sandbox.gate import Gate
from credmgr.sandbox.log import EntryKind, GroundTruth
from credmgr.sandbox.tokens import Grant, Tokens, claims_of

_TOKEN_TYPE: Final = "Bearer"  # noqa: S105
_METADATA_MAX_AGE: Final = {"Cache-Control": "public, max-age=300"}


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """The endpoints under `/oauth` and `/.well-known`.

    Attributes:
        base_url: What the sandbox is reached at, which is also the tokens' issuer.
        is_admin: Whether a request carries the admin token; admins may introspect every token.
    """

    base_url: str
    clients: Clients
    tokens: Tokens
    gate: Gate
    log: GroundTruth
    is_admin: Callable[[Request], bool]

    def routes(self) -> list[Route]:
        """Where the endpoints are."""
        return [
            Route("/oauth/token", self.token, methods=["POST"]),
            Route("/oauth/introspect", self.introspect, methods=["POST"]),
            Route("/oauth/revoke", self.revoke, methods=["POST"]),
            Route("/.well-known/jwks.json", self.jwks),
            Route("/.well-known/oauth-authorization-server", self.metadata),
        ]

    async def token(self, request: Request) -> Response:
        """Exchange client credentials for an access token (RFC 6749 §4.4)."""
        with self._refusals_logged(EntryKind.TOKEN_REFUSED):
            form = await read_form(request)
            if "grant_type" not in form:
                raise bad_request("The parameter grant_type is missing.")
            client = self.clients.identify(request, form)
            scopes = _granted_scopes(client, form)
            grant, value = self.tokens.issue(client.secret, scopes, self.base_url)
        scope = " ".join(scopes)
        body = {
            "access_token": value.reveal(),
            "token_type": _TOKEN_TYPE,
            "expires_in": int((grant.expires_at - grant.issued_at).total_seconds()),
            "scope": scope,
        }
        return answered(body)

    async def introspect(self, request: Request) -> Response:
        """Say whether a token is good, to its own client or the admin (RFC 7662 §2)."""
        with self._refusals_logged(EntryKind.CLIENT_REFUSED):
            form = await read_form(request)
            client = None if self.is_admin(request) else self.clients.identify(request, form)
            grant = self.tokens.find(_token_in(form))
        if client is not None:
            self.log.append(EntryKind.TOKEN_INSPECTED, client.secret.who)
        ours = grant is not None and (client is None or _is_of(grant, client))
        if grant is None or not ours or self.gate.token_problem(grant):
            return answered({"active": False})
        more = {"active": True, "token_type": _TOKEN_TYPE}
        names = {"iss": self.base_url, "sub": grant.client_id}
        return answered({**more, **names, **claims_of(grant)})

    async def revoke(self, request: Request) -> Response:
        """End an access token of the caller's own; an unknown one is fine too (RFC 7009 §2)."""
        with self._refusals_logged(EntryKind.CLIENT_REFUSED):
            form = await read_form(request)
            client = self.clients.identify(request, form)
            grant = self.tokens.find(_token_in(form))
            if grant is not None and not _is_of(grant, client):
                message = "The token belongs to another client."
                raise Refusal(400, "unauthorized_client", message, who=client.secret.who)
        if grant is not None:
            self.tokens.revoke(grant, client.secret.who)
        return Response(headers=NO_STORE)

    async def jwks(self, _request: Request) -> Response:
        """The public half of the signing key (RFC 7517)."""
        return JSONResponse(self.tokens.public_keys(), headers=_METADATA_MAX_AGE)

    async def metadata(self, _request: Request) -> Response:
        """What this authorization server offers (RFC 8414 §2)."""
        here = self.base_url
        body = {
            "issuer": here,
            "token_endpoint": f"{here}/oauth/token",
            "jwks_uri": f"{here}/.well-known/jwks.json",
            "introspection_endpoint": f"{here}/oauth/introspect",
            "revocation_endpoint": f"{here}/oauth/revoke",
            "scopes_supported": ALL_SCOPES,
            "response_types_supported": [],
            "grant_types_supported": [CLIENT_CREDENTIALS],
            "token_endpoint_auth_methods_supported": METHODS,
            "introspection_endpoint_auth_methods_supported": (*METHODS, "bearer"),
            "revocation_endpoint_auth_methods_supported": METHODS,
        }
        return JSONResponse(body, headers=_METADATA_MAX_AGE)

    @contextmanager
    def _refusals_logged(self, kind: EntryKind) -> Iterator[None]:
        try:
            yield
        except Refusal as refusal:
            self.log.append(kind, refusal.who, outcome=refusal.reason)
            raise


def _granted_scopes(client: Client, form: Mapping[str, str]) -> tuple[str, ...]:
    """The scopes asked for, or all of the application's when none are (RFC 6749 §3.3)."""
    declared, who = client.application.declared, client.secret.who
    if form["grant_type"] != CLIENT_CREDENTIALS:
        message = f"Only {CLIENT_CREDENTIALS} is served."
        raise Refusal(400, "unsupported_grant_type", message, who=who)
    if CLIENT_CREDENTIALS not in declared.grant_types:
        message = "The application is not registered for this grant type."
        raise Refusal(400, "unauthorized_client", message, who=who)
    asked = tuple(dict.fromkeys(form["scope"].split(" "))) if "scope" in form else declared.scopes
    if not asked or not set(asked) <= set(declared.scopes):
        message = "The application has not all of these scopes; ask only for its own."
        raise Refusal(400, "invalid_scope", message, who=who)
    return tuple(asked)


def _token_in(form: Mapping[str, str]) -> str:
    if "token" not in form:
        raise bad_request("The parameter token is missing.")
    return form["token"]


def _is_of(grant: Grant, client: Client) -> bool:
    return grant.client_id == client.application.client_id
