"""Who may use the API: an API key or access token as bearer (RFC 6750), with the route's scope."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from starlette.requests import Request

from credmgr.model.clock import Clock
from credmgr.sandbox.accounts import Applications
from credmgr.sandbox.answers import Refusal, bad_request, challenge
from credmgr.sandbox.catalogue import KEY_PREFIXES, Environment
from credmgr.sandbox.issued import Issued, IssuedSecrets, Status
from credmgr.sandbox.log import EntryKind, GroundTruth, Who
from credmgr.sandbox.tokens import Grant, Tokens

_KEY_PREFIXES: Final = tuple(KEY_PREFIXES.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is calling, proven by a bearer.

    Attributes:
        who: Whose secret it was, or was minted with.
        environment: The world that the caller sees.
        scopes: What the bearer may do.
    """

    who: Who
    environment: Environment
    scopes: tuple[str, ...]


class Gate:
    """Turns a bearer into a caller, or the request away."""

    def __init__(
        self,
        secrets: IssuedSecrets,
        applications: Applications,
        tokens: Tokens,
        clock: Clock,
        *,
        revoke_tokens_with_secret: bool,
    ) -> None:
        self._secrets = secrets
        self._applications = applications
        self._tokens = tokens
        self._clock = clock
        self._revoke_tokens_with_secret = revoke_tokens_with_secret

    def token_problem(self, grant: Grant) -> str | None:
        """Why an access token is not valid now, or None."""
        now = self._clock.now()
        if grant.revoked_at is not None:
            return "The access token was revoked."
        if now >= grant.expires_at:
            return "The access token expired."
        secret = self._secrets.get(grant.secret_id)
        if self._revoke_tokens_with_secret and not secret.accepted(now):
            return "The client secret behind the access token was revoked."
        return None

    def identify(self, bearer: str) -> Caller:
        """Whose `bearer` it is.

        Raises:
            Refusal: 401 `invalid_token`.
        """
        if bearer.startswith(_KEY_PREFIXES):
            return self._key_owner(bearer)
        grant = self._tokens.find(bearer)
        if grant is None:
            raise _invalid_token("The bearer is not one of ours.")
        secret = self._secrets.get(grant.secret_id)
        if problem := self.token_problem(grant):
            raise _invalid_token(problem, secret.who)
        application = self._applications.get(grant.client_id)
        return Caller(
            who=secret.who, environment=application.declared.environment, scopes=grant.scopes
        )

    def _key_owner(self, value: str) -> Caller:
        key = self._secrets.find(value)
        if key is None or key.environment is None:
            raise _invalid_token("The API key is not one of ours.")
        if not key.accepted(self._clock.now()):
            raise _invalid_token(_why_not(key), key.who)
        return Caller(who=key.who, environment=key.environment, scopes=key.scopes)


class Doorkeeper:
    """Admits requests to the API, and writes down whom it turns away."""

    def __init__(self, gate: Gate, log: GroundTruth) -> None:
        self._gate = gate
        self._log = log

    def admit(self, request: Request, scope: str, route: str) -> Caller:
        """The caller of `request`, who has `scope`.

        Raises:
            Refusal: 401 without a valid bearer; 403 `insufficient_scope` without the scope.
        """
        try:
            caller = self._gate.identify(bearer_of(request))
        except Refusal as refusal:
            self._turn_away(EntryKind.API_REFUSED, refusal, route)
            raise
        if scope not in caller.scopes:
            denial = _insufficient_scope(scope, caller.who)
            self._turn_away(EntryKind.API_DENIED, denial, route)
            raise denial
        return caller

    def _turn_away(self, kind: EntryKind, refusal: Refusal, route: str) -> None:
        self._log.append(kind, refusal.who, outcome=refusal.reason, detail=route)


def bearer_of(request: Request) -> str:
    """The credentials in the one `Authorization: Bearer …` header (RFC 6750 §2.1).

    Raises:
        Refusal: 401 without an error code in the challenge when there are none (§3.1); 400 when
            there are several.
    """
    headers = request.headers.getlist("authorization")
    if len(headers) > 1:
        raise bad_request("There is more than one Authorization header.")
    scheme, _, bearer = (headers[0] if headers else "").strip().partition(" ")
    if scheme.lower() != "bearer" or not bearer.strip():
        message = "The request carries no bearer; send Authorization: Bearer followed by it."
        raise Refusal(401, "missing_token", message, headers=challenge("Bearer"))
    return bearer.strip()


def _invalid_token(message: str, who: Who | None = None) -> Refusal:
    parameters = {"error": "invalid_token", "error_description": message}
    return Refusal(
        401, "invalid_token", message, headers=challenge("Bearer", **parameters), who=who
    )


def _insufficient_scope(scope: str, who: Who) -> Refusal:
    message = f"This needs the scope {scope}."
    parameters: Mapping[str, str] = {
        "error": "insufficient_scope",
        "error_description": message,
        "scope": scope,
    }
    headers = challenge("Bearer", **parameters)
    return Refusal(
        403, "insufficient_scope", message, headers=headers, more={"scope": scope}, who=who
    )


def _why_not(key: Issued) -> str:
    match key.status:
        case Status.ACTIVE:
            return "The API key is not known here yet."
        case Status.DISABLED:
            return "The API key is disabled."
        case Status.REVOKED:
            return "The API key was revoked."
        case other:
            assert_never(other)
