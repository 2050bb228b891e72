"""The management API of the sandbox, which the real CaseForge does not have: `/manage/v1`.

One credential is an OAuth application, or all API keys of one name, with two live secrets at most.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from credmgr.model.clock import Clock
from credmgr.sandbox.accounts import Applications, Declaration
from credmgr.sandbox.admin import Admin
from credmgr.sandbox.answers import answered, bad_request, not_found
from credmgr.sandbox.catalogue import (
    ALL_SCOPES,
    CLIENT_CREDENTIALS,
    GRANT_TYPES,
    CredentialKind,
    Environment,
)
from credmgr.sandbox.faults import Delays
from credmgr.sandbox.fields import Rule, Shape, Text, Texts, read, read_json
from credmgr.sandbox.issued import Issued, IssuedSecrets, Order, Status
from credmgr.sandbox.paging import Page

PREFIX: Final = "/manage/v1"
MOST_LABEL: Final = 128
_APPLICATION: Final[Shape] = {
    "name": Text(shortest=1, longest=100),
    "description": Text(default="", longest=1000, lines=True),
    "grant_types": Texts(choices=GRANT_TYPES, default=(CLIENT_CREDENTIALS,)),
    "scopes": Texts(choices=ALL_SCOPES, default=ALL_SCOPES),
    "environment": Text(choices=tuple(Environment), default=Environment.LIVE),
}
_LABEL: Final[Rule] = Text(default="", longest=MOST_LABEL)
_NAME: Final[Rule] = Text(shortest=1, longest=255)


@dataclass(frozen=True, slots=True)
class Management:
    """Applications, their secrets, and API keys."""

    applications: Applications
    secrets: IssuedSecrets
    clock: Clock
    admin: Admin
    key_scopes: tuple[str, ...]

    def routes(self) -> list[Route]:
        """Where everything is; all of it behind the admin token."""
        application = f"{PREFIX}/applications/{{client_id}}"
        table = (
            ("POST", f"{PREFIX}/applications", self.create_application),
            ("GET", f"{PREFIX}/applications", self.list_applications),
            ("GET", application, self.get_application),
            ("PUT", application, self.declare_application),
            ("POST", f"{application}/secrets", self.create_secret),
            ("GET", f"{application}/secrets", self.list_secrets),
            *self._life(f"{application}/secrets/{{id}}"),
            ("POST", f"{PREFIX}/keys", self.create_key),
            ("GET", f"{PREFIX}/keys", self.list_keys),
            *self._life(f"{PREFIX}/keys/{{id}}"),
        )
        return [Route(path, self.admin.only(to), methods=[method]) for method, path, to in table]

    def _life(self, path: str) -> tuple[tuple[str, str, Any], ...]:
        return (
            ("GET", path, self.get_secret),
            ("POST", f"{path}/disable", self.disable),
            ("POST", f"{path}/enable", self.enable),
            ("DELETE", path, self.revoke),
        )

    async def create_application(self, request: Request) -> Response:
        """Register an application under a client id of the sandbox's choosing."""
        created = self.applications.create(await _declaration(request))
        return answered(created.as_json(), 201)

    async def declare_application(self, request: Request) -> Response:
        """Make an application what the body says; 201 when it is new. May be repeated."""
        client_id = request.path_params["client_id"]
        if not (client_id.isascii() and client_id.replace("_", "").isalnum()):
            raise bad_request("A client id holds letters, digits and underscores.")
        application, is_new = self.applications.declare(client_id, await _declaration(request))
        return answered(application.as_json(), 201 if is_new else 200)

    async def list_applications(self, request: Request) -> Response:
        """A page of all applications."""
        return answered(Page.wanted(request.query_params).cut(self.applications.all()))

    async def get_application(self, request: Request) -> Response:
        """One application."""
        return answered(self.applications.get(request.path_params["client_id"]).as_json())

    async def create_secret(self, request: Request) -> Response:
        """Issue a client secret; the only answer with its value."""
        application = self.applications.get(request.path_params["client_id"])
        body = read({"label": _LABEL}, await read_json(request))
        delays = _delays(request)
        order = Order(
            kind=CredentialKind.OAUTH_CLIENT,
            credential=application.client_id,
            label=body["label"],
            propagation=delays.propagation,
            staleness=delays.staleness,
        )
        return self._issue(order)

    async def create_key(self, request: Request) -> Response:
        """Issue an API key; the only answer with its value."""
        body = read(self._key_shape(), await read_json(request))
        delays = _delays(request)
        order = Order(
            kind=CredentialKind.API_KEY,
            credential=body["name"],
            label=body["label"],
            environment=Environment(body["environment"]),
            scopes=body["scopes"],
            propagation=delays.propagation,
            staleness=delays.staleness,
        )
        return self._issue(order)

    def _key_shape(self) -> Shape:
        return {
            "name": _NAME,
            "label": _LABEL,
            "environment": Text(choices=tuple(Environment)),
            "scopes": Texts(choices=ALL_SCOPES, default=self.key_scopes),
        }

    def _issue(self, order: Order) -> Response:
        issued, value = self.secrets.create(order)
        return answered({**issued.as_json(), "value": value.reveal()}, 201)

    async def list_secrets(self, request: Request) -> Response:
        """A page of an application's secrets."""
        client_id = self.applications.get(request.path_params["client_id"]).client_id
        return self._list(request, CredentialKind.OAUTH_CLIENT, client_id)

    async def list_keys(self, request: Request) -> Response:
        """A page of the API keys of one `?name=`, or of all names."""
        return self._list(request, CredentialKind.API_KEY, request.query_params.get("name"))

    def _list(self, request: Request, kind: CredentialKind, credential: str | None) -> Response:
        query = request.query_params
        prefix, now = query.get("label_prefix", ""), self.clock.now()
        found = self.secrets.of(kind, credential, revoked=_include_revoked(query))
        shown = (s for s in found if s.label.startswith(prefix) and s.listed_from <= now)
        return answered(Page.wanted(query).cut(shown))

    async def get_secret(self, request: Request) -> Response:
        """One secret, without its value."""
        return answered(self._named(request).as_json())

    async def disable(self, request: Request) -> Response:
        """Stop accepting a secret, for now. May be repeated."""
        return self._change(request, Status.DISABLED)

    async def enable(self, request: Request) -> Response:
        """Accept a disabled secret again. May be repeated."""
        return self._change(request, Status.ACTIVE)

    async def revoke(self, request: Request) -> Response:
        """Stop accepting a secret for ever, which frees its slot. May be repeated."""
        return self._change(request, Status.REVOKED)

    def _change(self, request: Request, to: Status) -> Response:
        changed = self.secrets.change(self._named(request), to, _delays(request).revocation)
        return answered(changed.as_json())

    def _named(self, request: Request) -> Issued:
        """The secret that the path names: under an application only that application's own."""
        secret = self.secrets.get(request.path_params["id"])
        client_id = request.path_params.get("client_id")
        kind = CredentialKind.OAUTH_CLIENT if client_id else CredentialKind.API_KEY
        if secret.kind is not kind or client_id not in (None, secret.credential):
            raise not_found("secret")
        return secret


async def _declaration(request: Request) -> Declaration:
    body = read(_APPLICATION, await read_json(request))
    return Declaration(**{**body, "environment": Environment(body["environment"])})


def _include_revoked(query: Mapping[str, str]) -> bool:
    include = query.get("include", "")
    if include not in ("", "revoked"):
        raise bad_request("The only thing to include is revoked.")
    return include == "revoked"


def _delays(request: Request) -> Delays:
    delays: Delays = request.state.delays
    return delays
