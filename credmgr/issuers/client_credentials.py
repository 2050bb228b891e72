"""The client credentials grant (RFC 6749 §4.4): a client secret becomes an access token."""

import re
from base64 import b64encode
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Final
from urllib.parse import quote_plus

from credmgr.errors import InvalidAnswer, IssuerRefused, ScopeRefused
from credmgr.issuers.calls import Answer, Authority, Call
from credmgr.issuers.http import Exchange
from credmgr.model.clock import Clock
from credmgr.model.credential import Credential, Kind
from credmgr.model.secret import Secret
from credmgr.model.token import Token, TokenRequest

LONGEST_LIFE: Final = timedelta(hours=24)
"""A token is never believed to live longer; asking again too early harms nobody."""
_VALUE: Final = re.compile(r"[\x21-\x7e]{1,16384}")
_SECONDS: Final = re.compile(r"[0-9]{1,19}")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")


class ClientAuth(StrEnum):
    """How the client shows its secret (RFC 6749 §2.3.1)."""

    POST = "post"
    BASIC = "basic"


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Where tokens are requested. Thread-safe.

    Attributes:
        exchange: The way out.
        clock: Tells when a token was asked for.
        base: `scheme://host[:port]`.
        path: The endpoint's path.
        auth: How the client shows its secret.
    """

    exchange: Exchange
    clock: Clock
    base: str
    path: str
    auth: ClientAuth = ClientAuth.POST

    def mint(self, credential: Credential, secret: Secret, request: TokenRequest) -> Token:
        """A token with at most the scopes asked for. May be repeated.

        Fewer than asked for are possible (RFC 6749 §3.3); the token says which.

        Raises:
            SecretRejected: `invalid_client`, final for this secret.
            ScopeRefused: `invalid_scope`.
            InvalidAnswer: The token cannot be used safely: another type than Bearer, no honest
                life, or scopes that nobody asked for.
            IssuerRefused: An API key, a missing client id, an audience, or another refusal.
            IssuerUnavailable: Nothing was decided; repeat it.
        """
        token = self._request(credential, secret, request)
        if request.scopes and not token.scopes <= request.scopes:
            raise InvalidAnswer(f"{self._call}: the token has scopes that nobody asked for")
        return token

    def verify(self, credential: Credential, secret: Secret) -> frozenset[str]:
        """Log in with the declared scopes and throw the token away. May be repeated.

        Returns:
            The scopes that were granted, which are those declared where any are.

        Raises:
            SecretRejected: The secret does not log in.
            ScopeRefused: It does, with other scopes than those declared.
            IssuerError: As of `mint`.
        """
        granted = self._request(credential, secret, TokenRequest(credential.scopes)).scopes
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
        return Call(method="POST", base=self.base, path=self.path, authority=Authority.CLIENT)

    def _request(self, credential: Credential, secret: Secret, request: TokenRequest) -> Token:
        form: dict[str, str | Secret] = {"grant_type": "client_credentials"}
        client_id = _client_id(credential)
        basic = None
        if self.auth is ClientAuth.BASIC:
            basic = _basic(client_id, secret)
        else:
            form |= {"client_id": client_id, "client_secret": secret}
        if request.scopes:
            form["scope"] = " ".join(sorted(request.scopes))
        if request.audience is not None:
            raise IssuerRefused(f"{self._call}: the issuer knows no audiences")
        # The moment before the request: what the answer's way took is never added to the life.
        asked_at = self.clock.now()
        answer = self.exchange.send(replace(self._call, form=form, basic=basic))
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


def _basic(client_id: str, secret: Secret) -> Secret:
    pair = f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}"
    return Secret(b64encode(pair.encode()).decode())


def _value(answer: Answer) -> Secret:
    """RFC 6749 §5.1 and A.12; only what any holder may use, since tokens are shared (RFC 6750)."""
    if answer.text("token_type").lower() != "bearer":
        raise answer.call.senseless("`token_type` is not Bearer")
    found = answer.text("access_token")
    if not _VALUE.fullmatch(found):
        raise answer.call.senseless("`access_token` is not what a header can carry")
    return Secret(found)


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
