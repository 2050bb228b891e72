"""An issuer whose secrets a person makes and revokes in a dashboard; credmgr does the rest."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

from credmgr.errors import InvalidAnswer, IssuerRefused, ScopeRefused, SecretRejected
from credmgr.issuers.by_hand import MadeByHand, Steps, step_mistakes, words_of
from credmgr.issuers.calls import Authority, Call
from credmgr.issuers.caseforge import (
    CATALOGUE,
    KEY_TYPES,
    CaseForgeCredentialOptions,
    check_type,
    key_mistakes,
    key_type_of,
)
from credmgr.issuers.client_auth import Authentication, ClientAuth
from credmgr.issuers.client_credentials import TokenEndpoint
from credmgr.issuers.http import Exchange
from credmgr.issuers.options import identity_mistakes, parts_of
from credmgr.model.credential import Credential, Kind
from credmgr.model.secret import Secret
from credmgr.model.token import Token, TokenRequest
from credmgr.plugins.backend import Mistake
from credmgr.plugins.context import PluginContext
from credmgr.plugins.issuer import IssuerClass, Proof, Traits
from credmgr.plugins.urls import url_mistakes

CASEFORGE: Final = "caseforge"
CASEFORGE_TOKEN_URL: Final = "https://auth.caseforge.io/oauth/token"  # noqa: S105 (an address)
CASEFORGE_PROBE_URL: Final = "https://api.caseforge.io/v2/cases?status=open"
PLACEHOLDERS: Final = ("label", "name", "client_id", "scopes", "type")

_CREATE_KEY: Final = (
    "Open Dashboard → Settings → API Keys at CaseForge.",
    "Select Create API key and give it this name: {label}",
    "Choose the key type {type}; where scopes are offered, select only: {scopes}",
    "Copy the key before the dialog closes: it is shown this once.",
)
_CREATE_CLIENT_SECRET: Final = (
    "Open Dashboard → Settings → Applications at CaseForge and select {client_id}.",
    "Check that it has the grant type Client credentials and only the scopes: {scopes}",
    "Create a further client secret; where it takes a name, give it this one: {label}",
    "Keep the present secret; can it only be replaced, consumers fail until the import is done.",
    "Copy the new secret before the dialog closes: it is shown this once.",
)
_REVOKE_KEY: Final = (
    "Open Dashboard → Settings → API Keys at CaseForge.",
    "Revoke the key named {label}, and no other.",
)
_REVOKE_CLIENT_SECRET: Final = (
    "Open Dashboard → Settings → Applications at CaseForge and select {client_id}.",
    "Revoke the client secret named {label}, and no other; where secrets have no names, the older.",
)


@dataclass(frozen=True, slots=True)
class ManualOptions:
    """Options of an issuer `manual`.

    Attributes:
        dashboard: Whose dashboard it is: `caseforge` brings steps, addresses and scopes; `other`
            needs them given.
        token_url: Token endpoint at which OAuth clients log in (RFC 6749 §3.2); empty is
            CaseForge's.
        client_auth: How OAuth clients prove themselves: `client_secret_post` in the form,
            `client_secret_basic` in a header, `private_key_jwt` with a signed assertion.
        probe_url: Address that answers a GET with JSON when an API key is good; empty is
            CaseForge's.
        create_steps: What a person does to make a secret, instead of the built-in steps; may use
            `{label}`, `{name}`, `{client_id}`, `{scopes}`, `{type}`.
        revoke_steps: The same for revoking one.
        catalogue: Every scope that exists, with its meaning; empty is CaseForge's.
        max_active: How many secrets may be active at once for one credential; None is unbounded.
        ca_bundle: PEM file of authorities to trust instead of the system's; from the manifest's
            folder.
        propagation: How long a new or revoked secret may take to be known everywhere.
    """

    dashboard: Literal["caseforge", "other"] = CASEFORGE
    token_url: str = ""
    client_auth: ClientAuth = ClientAuth.POST
    probe_url: str = ""
    create_steps: tuple[str, ...] = ()
    revoke_steps: tuple[str, ...] = ()
    catalogue: dict[str, str] = field(default_factory=dict)
    max_active: int | None = None
    ca_bundle: str = ""
    propagation: timedelta = timedelta(0)

    @property
    def login_url(self) -> str:
        """The token endpoint; empty when there is none."""
        return self.token_url or (CASEFORGE_TOKEN_URL if self.dashboard == CASEFORGE else "")

    @property
    def known_url(self) -> str:
        """The address that API keys are tried at; empty when there is none."""
        return self.probe_url or (CASEFORGE_PROBE_URL if self.dashboard == CASEFORGE else "")


@dataclass(frozen=True, slots=True)
class ManualIssuer(MadeByHand):
    """A session with an issuer that has a dashboard only. Thread-safe."""

    traits: Traits
    options: ManualOptions
    exchange: Exchange
    tokens: TokenEndpoint | None

    def steps(self, credential: Credential) -> Steps:
        """Those of the manifest, else those of CaseForge's dashboard."""
        key = credential.kind is Kind.API_KEY
        return Steps(
            self.options.create_steps or (_CREATE_KEY if key else _CREATE_CLIENT_SECRET),
            self.options.revoke_steps or (_REVOKE_KEY if key else _REVOKE_CLIENT_SECRET),
            {"type": key_type_of(credential).value.capitalize(), **words_of(credential)},
        )

    def verify(self, credential: Credential, secret: Secret) -> Proof:
        """Log in: a token request with the declared scopes, or a GET with the key.

        A GET that is served proves the key and tells nothing of its scopes.

        Raises:
            SecretRejected: It is not accepted.
            ScopeRefused: It logs in, but not with the declared scopes or key type.
            IssuerRefused: There is no address to log in at.
        """
        if credential.kind is Kind.OAUTH_CLIENT:
            return Proof(self._endpoint().verify(credential, secret) or None)
        self._probe(secret)
        if self.options.dashboard == CASEFORGE:
            check_type(credential, secret)
        return Proof(None)

    def mint(self, credential: Credential, secret: Secret, request: TokenRequest) -> Token:
        """Exchange a client secret for an access token. May be repeated.

        Raises:
            SecretRejected: The issuer does not accept the secret.
            ScopeRefused: The client does not have the scopes.
            IssuerRefused: An API key, which is used as it is; or no token endpoint.
        """
        return self._endpoint().mint(credential, secret, request)

    def check(self) -> None:
        """Prove that the addresses answer as they should to somebody without a secret.

        There is no management credential to prove. May be repeated.
        """
        if self.tokens is not None:
            self.tokens.check()
        if self.options.known_url:
            self._check_probe()

    def close(self) -> None:
        """Let go of connections; may be repeated."""
        self.exchange.close()

    def _check_probe(self) -> None:
        try:
            self._probe(None)
        except (SecretRejected, ScopeRefused):
            return
        raise InvalidAnswer(
            "the probe_url serves callers without a key, so it proves nothing",
            hint="choose an address that needs one",
        )

    def _endpoint(self) -> TokenEndpoint:
        if self.tokens is None:
            raise IssuerRefused("there is no token endpoint", hint="give the issuer a token_url")
        return self.tokens

    def _probe(self, secret: Secret | None) -> None:
        if not self.options.known_url:
            raise IssuerRefused("there is no address to try keys at", hint="give it a probe_url")
        base, path, query = parts_of(self.options.known_url)
        self.exchange.send(
            Call(
                method="GET",
                base=base,
                path=path,
                query=query,
                authority=Authority.BEARER,
                bearer=secret,
            )
        )


class ManualIssuerFactory:
    """Opens sessions with issuers that have a dashboard only."""

    options = ManualOptions
    credential_options = CaseForgeCredentialOptions

    def traits(self, options: ManualOptions) -> Traits:
        """Made and revoked by a person, so neither listed nor disabled."""
        caseforge = dict(CATALOGUE) if options.dashboard == CASEFORGE else {}
        return Traits(
            issuer_class=IssuerClass.MANUAL,
            max_active=options.max_active,
            propagation=options.propagation,
            lists=False,
            disables=False,
            catalogue=options.catalogue or caseforge,
            key_types=KEY_TYPES if options.dashboard == CASEFORGE else {},
        )

    def validate(self, options: ManualOptions) -> Iterable[Mistake]:
        """Addresses and steps."""
        if options.login_url:
            yield from url_mistakes("token_url", options.login_url)
        if options.known_url:
            yield from url_mistakes("probe_url", options.known_url, query=True)
        if options.max_active is not None and options.max_active < 1:
            yield Mistake("max_active", "max_active is not above zero")
        for name, steps in (
            ("create_steps", options.create_steps),
            ("revoke_steps", options.revoke_steps),
        ):
            yield from step_mistakes(name, steps, PLACEHOLDERS)
            if not steps and options.dashboard != CASEFORGE:
                yield Mistake(name, f"{name} is needed, as no steps are known for this dashboard")

    def validate_credential(
        self, options: ManualOptions, credential: Credential
    ) -> Iterable[Mistake]:
        """The client id, the key type, and that there is an address to log in at."""
        yield from identity_mistakes(credential)
        if options.dashboard == CASEFORGE:
            yield from key_mistakes(credential)
        oauth = credential.kind is Kind.OAUTH_CLIENT
        if not (options.login_url if oauth else options.known_url):
            needed = "token_url" if oauth else "probe_url"
            yield Mistake("issuer", f"its issuer has no {needed}, so no secret could be proven")

    def account(self, options: ManualOptions, credential: Credential) -> str | None:
        """The application; keys are told apart by the names that people give them."""
        del options
        return credential.client_id

    def open(self, options: ManualOptions, context: PluginContext) -> ManualIssuer:
        """A session; connects with the first login.

        Raises:
            ConfigError: The CA bundle leads nowhere.
        """
        bundle = context.home / options.ca_bundle if options.ca_bundle else None
        exchange = Exchange(context, bundle)
        tokens = None
        if options.login_url:
            base, path, query = parts_of(options.login_url)
            auth = Authentication(options.client_auth, audience=options.login_url)
            tokens = TokenEndpoint(exchange, context.clock, base, path, query, auth)
        return ManualIssuer(self.traits(options), options, exchange, tokens)
