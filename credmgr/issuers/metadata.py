"""What an authorization server says of itself (RFC 8414, OpenID Connect Discovery)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Final
from urllib.parse import urlsplit

from credmgr.errors import InvalidAnswer, IssuerError, IssuerRefused, IssuerUnavailable
from credmgr.issuers.calls import Answer, Authority, Call
from credmgr.issuers.http import Exchange
from credmgr.model.clock import Clock
from credmgr.plugins.urls import url_mistakes

KEPT: Final = timedelta(hours=1)
"""How long metadata is believed before it is asked for again."""
ASSUMED: Final = frozenset({"client_secret_basic"})
"""What a server takes that does not say (RFC 8414 §2)."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The part of the metadata that minting needs.

    Attributes:
        token_endpoint: Where tokens are requested.
        methods: How clients may prove themselves.
        algorithms: What assertions may be signed with; empty is unknown.
    """

    token_endpoint: str
    methods: frozenset[str]
    algorithms: frozenset[str]


@dataclass(slots=True)
class Discovery:
    """Finds the metadata of one issuer and keeps it for an hour. Thread-safe.

    Attributes:
        exchange: The way out.
        clock: Tells when to ask again.
        issuer: The issuer's identifier, which is an address.
    """

    exchange: Exchange
    clock: Clock
    issuer: str
    _found: Metadata | None = None
    _found_at: datetime | None = None
    _asking: Lock = field(default_factory=Lock)

    def metadata(self) -> Metadata:
        """The metadata, asked for by one thread while the others wait. May be repeated.

        Once found, it goes on being used while the server does not answer.

        Raises:
            IssuerUnavailable: The server has not answered yet.
            IssuerRefused: It publishes none.
            InvalidAnswer: It publishes that of another issuer, or nonsense.
        """
        with self._asking:
            now = self.clock.now()
            if self._found is None or self._found_at is None or now - self._found_at >= KEPT:
                self._found = self._asked(self._found)
                self._found_at = now
            return self._found

    def _asked(self, known: Metadata | None) -> Metadata:
        try:
            return self._read(self._document())
        except IssuerUnavailable:
            if known is None:
                raise
            return known

    def _document(self) -> Answer:
        refusal: IssuerError = IssuerRefused(f"{self.issuer} publishes no metadata")
        for base, path in locations(self.issuer):
            call = Call(method="GET", base=base, path=path, authority=Authority.NOBODY)
            try:
                return self.exchange.send(call)
            except (IssuerRefused, InvalidAnswer) as error:
                refusal = refusal if isinstance(refusal, InvalidAnswer) else error
        refusal.hint = "check the issuer, or give its token_endpoint"
        raise refusal

    def _read(self, document: Answer) -> Metadata:
        if document.text("issuer") != self.issuer:
            raise document.call.senseless("`issuer` is another one than was asked (RFC 8414 §3.3)")
        endpoint = document.text("token_endpoint")
        if next(url_mistakes("token_endpoint", endpoint, query=True), None) or (
            self.issuer.startswith("https:") and not endpoint.startswith("https:")
        ):
            raise document.call.senseless("`token_endpoint` is no address to send secrets to")
        return Metadata(
            token_endpoint=endpoint,
            methods=_words(document, "token_endpoint_auth_methods_supported") or ASSUMED,
            algorithms=_words(document, "token_endpoint_auth_signing_alg_values_supported"),
        )


def locations(issuer: str) -> Iterator[tuple[str, str]]:
    """Base and path of each place in which the metadata of `issuer` may be, best first.

    RFC 8414 §3.1 puts its well-known word between host and path, OpenID Connect Discovery §4 puts
    another one behind the path, and RFC 8414 §5 allows that one in between as well.
    """
    parts = urlsplit(issuer)
    base, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    yield base, f"/.well-known/oauth-authorization-server{path}"
    yield base, f"{path}/.well-known/openid-configuration"
    if path:
        yield base, f"/.well-known/openid-configuration{path}"


def _words(document: Answer, name: str) -> frozenset[str]:
    found = document.member(name)
    if found is None:
        return frozenset()
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise document.call.senseless(f"`{name}` is not a list of words")
    return frozenset(found)
