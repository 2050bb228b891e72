"""The client credentials grant (RFC 6749 §4.4): a client secret becomes an access token."""

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from credmgr.errors import InvalidAnswer, IssuerRefused, ScopeRefused
from credmgr.issuers.calls import Answer, Authority, Call
from credmgr.issuers.client_auth import IN_FORM, Authentication
from credmgr.issuers.http import Exchange
from credmgr.model.clock import Clock
from credmgr.model.credential import Credential, Kind
from credmgr.model.secret import Secret
from credmgr.model.token import Token, TokenRequest
from credmgr.plugins.issuer import AudienceRefused

LONGEST_LIFE: Final = timedelta(hours=24)
"""A token is never believed to live longer; asking again too early harms nobody."""
_VALUE: Final = re.compile(r"[\x21-\x7e]{1,16384}")
_SECONDS: Final = re.compile(r"[0-9]{1,19}")
_JWT: Final = re.compile(r"[\w-]+\.([\w-]+)\.[\w-]*", re.ASCII)
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Where tokens are requested. Thread-safe.

    Attributes:
        exchange: The way out.
        clock: Tells when a token was asked for.
        base: `scheme://host[:port]`.
        path: The endpoint's path.
        query: What the endpoint's address carries besides (RFC 6749 §3.2).
        auth: How the client proves itself.
        audience_parameter: Under which name the issuer is told for whom a token is meant; empty
            where it knows no audiences.
    """

    exchange: Exchange
    clock: Clock
    base: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    auth: Authentication = IN_FORM
    audience_parameter: str = ""

    def mint(self, credential: Credential, secret: Secret, request: TokenRequest) -> Token:
        """A token with at most the scopes asked for. May be repeated.

        Fewer than asked for are possible (RFC 6749 §3.3); the token says which.

        Raises:
            SecretRejected: `invalid_client`, final for this secret.
            ScopeRefused: `invalid_scope`.
            InvalidAnswer: The token cannot be used safely: another type than Bearer, no honest
                life, bound to a sender, or scopes that nobody asked for.
            IssuerRefused: An API key, a missing client id, an audience, or another refusal.
            IssuerUnavailable: Nothing was decided; repeat it.
        """
        token = self._request(credential, secret, request)
        if request.scopes and not token.scopes <= request.scopes:
            raise InvalidAnswer(f"{self._call}: the token has scopes that nobody asked for")
        return token

    def verify(
        self, credential: Credential, secret: Secret, audience: str | None = None
    ) -> frozenset[str]:
        """Log in with the declared scopes and throw the token away. May be repeated.

        Returns:
            The scopes that were granted, which are those declared where any are.

        Raises:
            SecretRejected: The secret does not log in.
            ScopeRefused: It does, with other scopes than those declared.
            IssuerError: As of `mint`.
        """
        request = TokenRequest(credential.scopes, audience)
        granted = self._request(credential, secret, request).scopes
        if credential.scopes and granted != credential.scopes:
            missing = " ".join(sorted(credential.scopes - granted)) or "none"
            beyond = len(granted - credential.scopes)
            raise ScopeRefused(f"{self._call}: declared and missing: {missing}; beyond: {beyond}")
        return granted

    def check(self) -> None:
        """Prove that a token endpoint answers: it refuses somebody without a secret in its words.

        Raises:
            IssuerUnavailable: Nothing answers.
            InvalidAnswer: Something else than a token endpoint does.
        """
        try:
            self.exchange.send(replace(self._call, form={"grant_type": "client_credentials"}))
        except IssuerRefused:
            return
        raise InvalidAnswer(f"{self._call}: somebody without a secret was served")

    @property
    def _call(self) -> Call:
        return Call(
            method="POST",
            base=self.base,
            path=self.path,
            query=self.query,
            authority=Authority.CLIENT,
        )

    def _request(self, credential: Credential, secret: Secret, request: TokenRequest) -> Token:
        if request.audience is not None and not self.audience_parameter:
            raise AudienceRefused(f"{self._call}: the issuer knows no audiences")
        client_id = _client_id(credential)
        # The moment before the request: what the answer's way took is never added to the life.
        asked_at = self.clock.now()
        shown = self.auth.shown(client_id, secret, asked_at)
        form = {"grant_type": "client_credentials", **shown.form}
        if request.scopes:
            form["scope"] = " ".join(sorted(request.scopes))
        if request.audience is not None:
            form[self.audience_parameter] = request.audience
        answer = self.exchange.send(replace(self._call, form=form, basic=shown.basic))
        return Token(
            value=_value(answer),
            scopes=_scopes(answer, request),
            issued_at=asked_at,
            expires_at=asked_at + _life(answer),
        )


def _client_id(credential: Credential) -> str:
    if credential.kind is not Kind.OAUTH_CLIENT:
        raise IssuerRefused("an API key is used as it is and not exchanged for a token")
    if not credential.client_id:
        raise IssuerRefused(f"{credential.name} has no client_id")
    return credential.client_id


def _value(answer: Answer) -> Secret:
    """RFC 6749 §5.1 and A.12; only what any holder may use, since tokens are shared (RFC 6750)."""
    if answer.text("token_type").lower() != "bearer":
        raise answer.call.senseless("`token_type` is not Bearer")
    found = answer.text("access_token")
    if not _VALUE.fullmatch(found):
        raise answer.call.senseless("`access_token` is not what a header can carry")
    if answer.member("cnf") is not None or _bound(found):
        raise answer.call.senseless("the token is bound to its sender, so it cannot be shared")
    return Secret(found)


def _bound(token: str) -> bool:
    """Whether a JWT says that only its sender may use it (`cnf`, RFC 7800 §3.1).

    Whatever is no JWT is opaque and says nothing (RFC 9068 §6).
    """
    parts = _JWT.fullmatch(token)
    if parts is None:
        return False
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(claims, dict) and claims.get("cnf") is not None


def _life(answer: Answer) -> timedelta:
    """RFC 6749 §5.1 and A.14: a number of seconds.

    A text of digits is taken too, as several servers send one. A missing life is refused though the
    RFC only recommends it: without it a token could be served after its end.
    """
    found = answer.member("expires_in")
    if isinstance(found, str) and _SECONDS.fullmatch(found):
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise answer.call.senseless("`expires_in` is not a number of seconds above zero")
    return timedelta(seconds=min(found, int(LONGEST_LIFE.total_seconds())))


def _scopes(answer: Answer, request: TokenRequest) -> frozenset[str]:
    """RFC 6749 §5.1: what was granted; left out it is what was asked for."""
    found = answer.member("scope")
    if found is None:
        return request.scopes
    if not isinstance(found, str) or not all(_SCOPE.fullmatch(word) for word in found.split()):
        raise answer.call.senseless("`scope` is not a list of scopes")
    return frozenset(found.split())
