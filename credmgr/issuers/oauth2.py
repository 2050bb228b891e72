"""Any authorization server with the client credentials grant (RFC 6749 §4.4), for minting.

A person makes and revokes the client secrets, as with `manual`; credmgr finds the token endpoint,
proves what is imported by a real login, and mints tokens.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final, Literal

from credmgr.issuers.by_hand import MadeByHand, Steps, step_mistakes, words_of
from credmgr.issuers.client_auth import Authentication, ClientAuth
from credmgr.issuers.client_credentials import TokenEndpoint
from credmgr.issuers.http import Exchange
from credmgr.issuers.metadata import Discovery, Metadata
from credmgr.issuers.options import parts_of
from credmgr.model.clock import Clock
from credmgr.model.credential import Credential, Kind
from credmgr.model.secret import Secret
from credmgr.model.token import Token, TokenRequest
from credmgr.plugins.backend import Mistake
from credmgr.plugins.context import PluginContext
from credmgr.plugins.issuer import IssuerClass, Proof, Traits
from credmgr.plugins.urls import url_mistakes

PLACEHOLDERS: Final = ("label", "name", "client_id", "scopes", "issuer")
_PARAMETER: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_TAKEN: Final = frozenset(
    {
        *("grant_type", "scope", "client_id", "client_secret"),
        *("client_assertion", "client_assertion_type"),
    }
)
_CLIENT_ID: Final = re.compile(r"[\x21-\x7e]{1,255}")  # RFC 6749 §A.1, without the space
_AUDIENCE: Final = re.compile(r"[\x21-\x7e]{1,1024}")
_CREATE_STEPS: Final = (
    "Sign in to the administration of {issuer} and open the client {client_id}.",
    "Check that it has the grant type client credentials and only the scopes: {scopes}",
    "Add a client secret, or a public key whose private key you import; name it: {label}",
    "Keep the present one; can it only be replaced, consumers fail until the import is done.",
)
_REVOKE_STEPS: Final = (
    "Sign in to the administration of {issuer} and open the client {client_id}.",
    "Remove the secret or public key named {label}, and no other; without names, the older.",
)


@dataclass(frozen=True, slots=True)
class OAuth2Options:
    """Options of an issuer `oauth2`.

    Attributes:
        issuer: The server's issuer identifier (RFC 8414 §2), from which its metadata is found;
            https unless on loopback.
        token_endpoint: Address of the token endpoint; given, no metadata is asked for.
        client_auth: How clients prove themselves: `client_secret_basic`, `client_secret_post` or
            `private_key_jwt`; chosen by the metadata and the secret unless given.
        audience_parameter: Under which name the server is told for whom a token is meant:
            `resource` (RFC 8707), `audience`, or another; empty where it knows no audiences.
        assertion_audience: For whom assertions are: the `issuer` or the `token_endpoint`.
        create_steps: What a person does to make a secret, instead of the built-in steps; may use
            `{label}`, `{name}`, `{client_id}`, `{scopes}`, `{issuer}`.
        revoke_steps: The same for revoking one.
        catalogue: Every scope that exists, with its meaning; empty is unknown.
        max_active: How many secrets may be active at once for one credential; None is unbounded.
        ca_bundle: PEM file of authorities to trust instead of the system's; from the manifest's
            folder.
        propagation: How long a new or revoked secret may take to be known everywhere.
    """

    issuer: str = ""
    token_endpoint: str = ""
    client_auth: ClientAuth | None = None
    audience_parameter: str = "resource"
    assertion_audience: Literal["issuer", "token_endpoint"] = "issuer"
    create_steps: tuple[str, ...] = ()
    revoke_steps: tuple[str, ...] = ()
    catalogue: dict[str, str] = field(default_factory=dict)
    max_active: int | None = None
    ca_bundle: str = ""
    propagation: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class OAuth2CredentialOptions:
    """What `oauth2` wants to know of a client.

    Attributes:
        audience: For whom its tokens are meant, unless whoever asks says so; empty leaves it out.
        client_auth: How this client proves itself, where it differs from the issuer's others.
    """

    audience: str = ""
    client_auth: ClientAuth | None = None


@dataclass(frozen=True, slots=True)
class OAuth2Issuer(MadeByHand):
    """A session with an authorization server. Thread-safe."""

    traits: Traits
    options: OAuth2Options
    exchange: Exchange
    clock: Clock
    discovery: Discovery

    def steps(self, credential: Credential) -> Steps:
        """Those of the manifest, else such as fit any server."""
        return Steps(
            self.options.create_steps or _CREATE_STEPS,
            self.options.revoke_steps or _REVOKE_STEPS,
            {"issuer": _address(self.options), **words_of(credential)},
        )

    def verify(self, credential: Credential, secret: Secret) -> Proof:
        """Log in: a token request with the declared scopes and audience. May be repeated.

        Raises:
            SecretRejected: The secret or key is not accepted.
            ScopeRefused: It logs in, but not with the declared scopes.
        """
        endpoint = self._endpoint(credential)
        return Proof(endpoint.verify(credential, secret, _audience(credential)) or None)

    def mint(self, credential: Credential, secret: Secret, request: TokenRequest) -> Token:
        """Exchange a client secret, or an assertion, for an access token. May be repeated.

        Raises:
            SecretRejected: The server does not accept it.
            ScopeRefused: The client does not have the scopes.
            IssuerRefused: An audience that the server does not know, or an API key.
        """
        endpoint = self._endpoint(credential)
        meant = replace(request, audience=request.audience or _audience(credential))
        return endpoint.mint(credential, secret, meant)

    def check(self) -> None:
        """Prove that metadata and token endpoint are there. May be repeated.

        There is no management credential to prove.
        """
        self._endpoint(None).check()

    def close(self) -> None:
        """Let go of connections; may be repeated."""
        self.exchange.close()

    def _endpoint(self, credential: Credential | None) -> TokenEndpoint:
        options = self.options
        found = self._metadata()
        base, path, query = parts_of(found.token_endpoint)
        to_issuer = options.issuer and options.assertion_audience == "issuer"
        own = credential.options.get("client_auth") if credential else None
        auth = Authentication(
            method=ClientAuth(str(own)) if own else options.client_auth,
            offered=found.methods,
            audience=options.issuer if to_issuer else found.token_endpoint,
            algorithms=found.algorithms,
        )
        return TokenEndpoint(
            self.exchange, self.clock, base, path, query, auth, options.audience_parameter
        )

    def _metadata(self) -> Metadata:
        if self.options.token_endpoint:
            return Metadata(self.options.token_endpoint, frozenset(), frozenset())
        return self.discovery.metadata()


class OAuth2IssuerFactory:
    """Opens sessions with authorization servers."""

    options = OAuth2Options
    credential_options = OAuth2CredentialOptions

    def traits(self, options: OAuth2Options) -> Traits:
        """Made and revoked by a person, so neither listed nor disabled."""
        return Traits(
            issuer_class=IssuerClass.MANUAL,
            max_active=options.max_active,
            propagation=options.propagation,
            lists=False,
            disables=False,
            catalogue=options.catalogue,
        )

    def validate(self, options: OAuth2Options) -> Iterable[Mistake]:
        """Addresses, the parameter's name, and steps."""
        if not _address(options):
            yield Mistake("issuer", "issuer is needed", "or give a token_endpoint")
        if options.issuer:
            yield from url_mistakes("issuer", options.issuer)
        if options.token_endpoint:
            yield from url_mistakes("token_endpoint", options.token_endpoint, query=True)
        name = options.audience_parameter
        if name and (not _PARAMETER.fullmatch(name) or name in _TAKEN):
            yield Mistake("audience_parameter", "audience_parameter names no parameter of its own")
        if options.max_active is not None and options.max_active < 1:
            yield Mistake("max_active", "max_active is not above zero")
        yield from step_mistakes("create_steps", options.create_steps, PLACEHOLDERS)
        yield from step_mistakes("revoke_steps", options.revoke_steps, PLACEHOLDERS)

    def validate_credential(
        self, options: OAuth2Options, credential: Credential
    ) -> Iterable[Mistake]:
        """That it is an OAuth client, its id and its audience."""
        if credential.kind is not Kind.OAUTH_CLIENT:
            yield Mistake("kind", "its issuer has OAuth clients only", "write oauth-client")
        if credential.client_id and not _CLIENT_ID.fullmatch(credential.client_id):
            yield Mistake("client_id", "client_id is not printable ASCII without spaces")
        audience = _audience(credential)
        if audience and not options.audience_parameter:
            yield Mistake("options.audience", "its issuer knows no audiences", "remove it")
        elif audience and not _AUDIENCE.fullmatch(audience):
            yield Mistake("options.audience", "audience is not printable ASCII without spaces")

    def account(self, options: OAuth2Options, credential: Credential) -> str | None:
        """The client."""
        del options
        return credential.client_id

    def open(self, options: OAuth2Options, context: PluginContext) -> OAuth2Issuer:
        """A session; connects with the first login.

        Raises:
            ConfigError: The CA bundle leads nowhere.
        """
        bundle = context.home / options.ca_bundle if options.ca_bundle else None
        exchange = Exchange(context, bundle)
        return OAuth2Issuer(
            traits=self.traits(options),
            options=options,
            exchange=exchange,
            clock=context.clock,
            discovery=Discovery(exchange, context.clock, options.issuer),
        )


def _address(options: OAuth2Options) -> str:
    return options.issuer or options.token_endpoint


def _audience(credential: Credential) -> str | None:
    return str(credential.options.get("audience") or "") or None
