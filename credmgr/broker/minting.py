"""One token request: the secret from its store, the token from the issuer."""

from collections.abc import Callable
from threading import Lock
from uuid import UUID

from credmgr.broker.accepting import accepted
from credmgr.broker.asking import Wanted
from credmgr.broker.breaker import Breaker
from credmgr.broker.life import Live
from credmgr.broker.ports import Outside
from credmgr.errors import SecretNotFound, SecretRejected
from credmgr.model.clock import Clock
from credmgr.model.names import Name
from credmgr.model.token import Token, TokenRequest
from credmgr.model.version import Stage
from credmgr.plugins.backend import Held


class Mint:
    """Turns what is wanted into a live token. Thread-safe.

    `invalid_client` is final for a version (RFC 6749 §5.2): it is not tried again before another
    one is current, or `forget`.
    """

    def __init__(
        self,
        outside: Outside,
        clock: Clock,
        jitter: Callable[[], float],
        minted: Callable[[Name, TokenRequest, Token], None],
    ) -> None:
        self.outside, self._came = outside, minted
        self._clock, self._jitter = clock, jitter
        self._lock = Lock()
        self._breakers: dict[Name, Breaker] = {}
        self._refused: dict[Name, set[UUID]] = {}
        self._hopeless: dict[Name, UUID | None] = {}

    def breaker(self, issuer: Name) -> Breaker:
        """The issuer's breaker."""
        with self._lock:
            return self._breakers.setdefault(issuer, Breaker(self._clock, self._jitter))

    def forget(self, name: Name) -> None:
        """Let every version of a credential be tried again."""
        with self._lock:
            self._refused.pop(name, None)
            self._hopeless.pop(name, None)

    def require_hope(self, name: Name, expected: UUID | None) -> None:
        """Refuse early what `mint` would refuse.

        Raises:
            SecretRejected: All that there was when `expected` was current has been refused.
        """
        with self._lock:
            if name in self._hopeless and self._hopeless[name] == expected:
                raise SecretRejected("the issuer has refused this version of the secret")

    def mint(self, wanted: Wanted, expected: UUID | None) -> Live:
        """A fresh token, by the current secret or, where that is refused, by the other active one.

        Args:
            wanted: What to request.
            expected: The version that the state database says is current.

        Raises:
            SecretRejected: Neither logs in.
            TokenUnavailable: The issuer is left alone for now.
            BackendError: The store does not give the secret.
            IssuerError: As of `Issuer.mint`.
        """
        current = self.outside.held(wanted.credential, Stage.CURRENT)
        try:
            return self._minted(wanted, current)
        except SecretRejected:
            other = self._other(wanted)
            if other is None:
                self._give_up(wanted.credential.name, expected)
                raise
        try:
            return self._minted(wanted, other)
        except SecretRejected:
            self._give_up(wanted.credential.name, expected)
            raise

    def _other(self, wanted: Wanted) -> Held | None:
        try:
            return self.outside.held(wanted.credential, Stage.PREVIOUS)
        except SecretNotFound:
            return None

    def _minted(self, wanted: Wanted, held: Held) -> Live:
        credential = wanted.credential
        with self._lock:
            if held.version in self._refused.get(credential.name, ()):
                raise SecretRejected("the issuer has refused this version of the secret")
        issuer = self.outside.issuer(credential)
        with self.breaker(credential.issuer).call():
            began = self._clock.monotonic()
            try:
                token = issuer.mint(credential, held.secret, wanted.request)
            except SecretRejected:
                with self._lock:
                    self._refused.setdefault(credential.name, set()).add(held.version)
                raise
        self._came(credential.name, wanted.request, token)
        return Live.of(wanted.key, held.version, accepted(token, wanted.request), began)

    def _give_up(self, name: Name, expected: UUID | None) -> None:
        with self._lock:
            self._hopeless[name] = expected
