"""Who may have what: the manifest's grants, answered without a look outside."""

from collections.abc import Iterable, Mapping
from typing import Final

from credmgr.broker.asking import Ask, Wanted
from credmgr.errors import Ambiguous, NotGranted, ScopeNotGranted
from credmgr.model.consumer import Consumer, Grant, Readable
from credmgr.model.credential import Credential, Kind
from credmgr.model.names import Name
from credmgr.model.token import TokenRequest

_HINT: Final = "a grant in the manifest's `consumers` opens it"


class Grants:
    """The grants of one manifest. Immutable, so thread-safe.

    Unknown and forbidden look alike: whoever may not read a credential does not learn that it
    exists.
    """

    def __init__(
        self, credentials: Mapping[Name, Credential], consumers: Mapping[Name, Consumer]
    ) -> None:
        self._credentials = dict(credentials)
        self._granted = {
            (consumer.name, grant.credential): grant
            for consumer in consumers.values()
            for grant in consumer.grants
        }

    def wanted(self, ask: Ask) -> Wanted:
        """What to request of the issuer for `ask`: as narrow as it asks, no wider than it may.

        Raises:
            NotGranted: There is no such credential, or no grant for its tokens.
            ScopeNotGranted: A scope that was asked for is not granted.
        """
        credential, most = self._permitted(ask.consumer, ask.credential)
        scopes = _narrowed(ask.scopes, most)
        return Wanted(credential, TokenRequest(scopes, ask.audience))

    def readable(self, consumer: Name | None, name: Name) -> Credential:
        """A credential whose secret `consumer` may read.

        Raises:
            NotGranted: There is none, or no grant for its secret.
        """
        return self._granting(consumer, name, Readable.SECRET)[0]

    def choose(
        self, consumer: Name | None, scopes: frozenset[str] | None, audience: str | None
    ) -> Ask:
        """Which credential's token is meant where nothing but scopes and an audience are said.

        An audience that is a credential's name means that one, and is not passed on. Otherwise it
        is the only one that can give the scopes.

        Raises:
            NotGranted: The consumer may have no token at all.
            ScopeNotGranted: None of its tokens has the scopes.
            Ambiguous: Several have.
        """
        names = self._tokens_of(consumer)
        named = [name for name in names if name == audience]
        if named:
            return Ask(consumer, named[0], scopes)
        if not names:
            raise NotGranted(hint=_HINT)
        fitting = [name for name in names if self._gives(Ask(consumer, name, scopes))]
        if not fitting:
            raise ScopeNotGranted("none of the consumer's grants has these scopes", hint=_HINT)
        if len(fitting) > 1:
            raise Ambiguous(hint=f"give one of them as the audience: {', '.join(fitting)}")
        return Ask(consumer, fitting[0], scopes, audience)

    def _gives(self, ask: Ask) -> bool:
        try:
            self.wanted(ask)
        except ScopeNotGranted:
            return False
        return True

    def _tokens_of(self, consumer: Name | None) -> list[Name]:
        if consumer is None:
            return sorted(n for n, c in self._credentials.items() if c.kind is Kind.OAUTH_CLIENT)
        mine = (grant for (who, _), grant in self._granted.items() if who == consumer)
        return sorted(grant.credential for grant in mine if Readable.TOKEN in grant.read)

    def _permitted(
        self, consumer: Name | None, name: Name
    ) -> tuple[Credential, frozenset[str] | None]:
        """A credential, and the most scopes its tokens may have; None leaves that to the issuer."""
        credential, grant = self._granting(consumer, name, Readable.TOKEN)
        if credential.kind is not Kind.OAUTH_CLIENT:
            raise NotGranted(
                f"{name} is an API key, which is used as it is", hint="read its secret instead"
            )
        limits = [one for one in (credential.scopes, grant.scopes if grant else None) if one]
        return credential, _common(limits)

    def _granting(
        self, consumer: Name | None, name: Name, wish: Readable
    ) -> tuple[Credential, Grant | None]:
        credential = self._credentials.get(name)
        grant = None if consumer is None else self._granted.get((consumer, name))
        denied = consumer is not None and (grant is None or wish not in grant.read)
        if credential is None or denied:
            raise NotGranted(hint=_HINT)
        return credential, grant


def _common(limits: Iterable[frozenset[str]]) -> frozenset[str] | None:
    sets = list(limits)
    return frozenset.intersection(*sets) if sets else None


def _narrowed(asked: frozenset[str] | None, most: frozenset[str] | None) -> frozenset[str]:
    if most is None:
        return asked or frozenset()
    if not (asked or most) <= most or not most:
        beyond = sorted((asked or frozenset()) - most)
        raise ScopeNotGranted(
            f"not granted: {' '.join(beyond)}" if beyond else "no scope is granted", hint=_HINT
        )
    return asked or most
