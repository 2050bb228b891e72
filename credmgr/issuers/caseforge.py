"""CaseForge through a management API: secrets are made, listed and revoked without a person.

The real CaseForge documents no such API (use `manual` for it); the sandbox has one under
`/manage/v1`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Final

from credmgr.errors import IssuerRefused, ScopeRefused
from credmgr.issuers.calls import Answer, Authority, Call
from credmgr.issuers.client_credentials import TokenEndpoint
from credmgr.issuers.http import Exchange
from credmgr.issuers.options import identity_mistakes
from credmgr.model.credential import Credential, Environment, Kind
from credmgr.model.secret import Secret
from credmgr.model.token import Token, TokenRequest
from credmgr.model.version import KeyType
from credmgr.plugins.backend import Mistake
from credmgr.plugins.context import PluginContext, Reference
from credmgr.plugins.issuer import (
    Issued,
    IssuerClass,
    Listed,
    Proof,
    SecretStatus,
    Traits,
)
from credmgr.plugins.urls import url_mistakes

CATALOGUE: Final[Mapping[str, str]] = {
    "cases:read": "See case details, the list of cases, and what happened to a case.",
    "cases:write": "Open cases, change them, assign them, close them.",
    "sar:read": "See suspicious activity reports, filed ones and drafts.",
    "sar:write": "Draft suspicious activity reports and hand them in for review.",
    "watchlist:read": "See the watchlist and screen against it.",
    "watchlist:write": "Add to the watchlist, change and remove what is on it.",
    "transactions:read": "See transactions and search their history.",
    "subjects:read": "See profiles of persons and companies, and their risk scores.",
    "subjects:write": "Make and change profiles of persons and companies.",
    "alerts:read": "See the alerts that the rules engine raised.",
}
"""CaseForge's scopes reference, in our words."""

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 (an address)
MAX_ACTIVE: Final = 2
_APPLICATIONS: Final = "/manage/v1/applications"
_KEYS: Final = "/manage/v1/keys"
_PAGE: Final = "200"
_MOST_PAGES: Final = 50
_LONGEST_KEY_NAME: Final = 255
_READS: Final[Mapping[str, str]] = {
    "cases:read": "/v2/cases",
    "sar:read": "/v2/sars",
    "watchlist:read": "/v2/watchlist",
    "transactions:read": "/v2/transactions",
    "subjects:read": "/v2/subjects",
    "alerts:read": "/v2/alerts",
}


KEY_TYPES: Final[Mapping[str, KeyType]] = {
    "cf_sand_": KeyType.SANDBOX,
    "cf_live_": KeyType.LIVE,
}
"""What API keys begin with, and of what type they are then."""


@dataclass(frozen=True, slots=True)
class CaseForgeOptions:
    """Options of an issuer `caseforge`.

    Attributes:
        url: Address of the API and the management API; https unless on loopback.
        admin_token: Where the management API's bearer token is kept: a reference.
        auth_url: Address of the authorization server; empty when it is the same.
        ca_bundle: PEM file of authorities to trust instead of the system's; from the manifest's
            folder.
        propagation: How long a new or revoked secret may take to be known everywhere.
    """

    url: str
    admin_token: Annotated[str, Reference()]
    auth_url: str = ""
    ca_bundle: str = ""
    propagation: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class CaseForgeCredentialOptions:
    """What `caseforge` and `manual` want to know of an API key.

    Attributes:
        key_name: The name that its keys have at CaseForge; empty is the credential's, `/` as `-`.
        key_type: Sandbox or live; None follows the environment: production is live.
    """

    key_name: str = ""
    key_type: KeyType | None = None


def key_name_of(credential: Credential) -> str:
    """The name that the credential's API keys have at CaseForge."""
    return str(credential.options.get("key_name") or credential.name.replace("/", "-"))


def key_type_of(credential: Credential) -> KeyType:
    """The type of the credential's API keys."""
    declared = credential.options.get("key_type")
    if declared is not None:
        return KeyType(str(declared))
    production = credential.environment is Environment.PRODUCTION
    return KeyType.LIVE if production else KeyType.SANDBOX


def key_mistakes(credential: Credential) -> Iterable[Mistake]:
    """What is wrong with a credential's options about API keys."""
    if credential.kind is not Kind.API_KEY:
        for name in ("key_name", "key_type"):
            if credential.options.get(name):
                yield Mistake(f"options.{name}", f"{name} is for API keys", "remove it")
        return
    name = key_name_of(credential)
    if not name.isprintable() or len(name) > _LONGEST_KEY_NAME:
        yield Mistake(
            "options.key_name", "key_name is not printable text of at most 255 characters"
        )


def check_type(credential: Credential, secret: Secret) -> None:
    """Refuse an API key of the wrong type, after it has logged in.

    Never instead of the login: a rejection would then pass for proof that a key is dead.

    Raises:
        ScopeRefused: It does not begin as keys of the declared type do.
    """
    kind = key_type_of(credential)
    prefix = next(start for start, sort in KEY_TYPES.items() if sort is kind)
    if not secret.reveal().startswith(prefix):
        raise ScopeRefused(
            f"{credential.name}: not a {kind} key, those begin with {prefix}",
            hint="check the key type in the dashboard, or the credential's key_type",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a credential's secrets are in the management API."""

    path: str
    values: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    order: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, credential: Credential) -> "_Place":
        if credential.kind is Kind.OAUTH_CLIENT:
            path = f"{_APPLICATIONS}/{{client_id}}/secrets"
            return cls(path=path, values={"client_id": credential.client_id or ""})
        name = key_name_of(credential)
        order: dict[str, object] = {"name": name, "environment": key_type_of(credential).value}
        if credential.scopes:
            order["scopes"] = sorted(credential.scopes)
        return cls(path=_KEYS, query={"name": name}, order=order)


@dataclass(frozen=True, slots=True)
class CaseForgeIssuer:
    """A session with CaseForge and its management API. Thread-safe."""

    traits: Traits
    base: str
    tokens: TokenEndpoint
    exchange: Exchange
    admin_token: Secret

    def create(self, credential: Credential, label: str) -> Issued:
        """Make a client secret or API key that carries `label`. Never repeat blindly.

        Raises:
            OutcomeUnknown: It may have been made; look for the label.
            NoFreeSlot: There are two that are not revoked.
        """
        place = _Place.of(credential)
        order = {**place.order, "label": label}
        answer = self._manage("POST", place.path, place.values, json=order, changes=True)
        return Issued(
            secret_id=answer.text("id"),
            secret=Secret(answer.text("value")),
            issued_at=answer.moment("created_at"),
        )

    def list(self, credential: Credential) -> Sequence[Listed]:
        """Every secret that is not revoked, oldest first. May be repeated."""
        place = _Place.of(credential)
        query = {**place.query, "limit": _PAGE}
        found: list[Listed] = []
        for _page in range(_MOST_PAGES):
            answer = self._manage("GET", place.path, place.values, query=query)
            found += [_listed(entry) for entry in answer.entries("items")]
            if answer.member("next_cursor") is None:
                return [listed for listed in found if listed.status is not SecretStatus.REVOKED]
            query["cursor"] = answer.text("next_cursor")
        raise answer.call.senseless(f"the list has more than {_MOST_PAGES} pages")

    def disable(self, credential: Credential, secret_id: str) -> None:
        """Make one secret stop working, reversibly. Repeat freely.

        Raises:
            OutcomeUnknown: It may have been disabled.
            IssuerRefused: It is a key of another name.
        """
        self._end("POST", "/{id}/disable", credential, secret_id)

    def revoke(self, credential: Credential, secret_id: str) -> None:
        """End one secret for good. Repeat freely.

        Raises:
            OutcomeUnknown: It may have been revoked.
            IssuerRefused: It is a key of another name.
        """
        self._end("DELETE", "/{id}", credential, secret_id)

    def verify(self, credential: Credential, secret: Secret) -> Proof:
        """Log in: a token request with the declared scopes, or API calls with the key.

        A key reads one record under each declared scope that reads; its other scopes are not tried,
        because that would change data, so the proof does not tell them.

        Raises:
            SecretRejected: CaseForge does not accept it.
            ScopeRefused: It logs in, but not with the declared scopes or key type.
        """
        if credential.kind is Kind.OAUTH_CLIENT:
            return Proof(self.tokens.verify(credential, secret) or None)
        reads = [path for scope, path in _READS.items() if scope in credential.scopes]
        for path in reads:
            self._read(path, secret)
        if not reads:
            self._prove_known(secret)
        check_type(credential, secret)
        return Proof(None)

    def mint(self, credential: Credential, secret: Secret, request: TokenRequest) -> Token:
        """Exchange a client secret for an access token. May be repeated.

        Raises:
            SecretRejected: CaseForge does not accept the secret.
            ScopeRefused: The application does not have the scopes.
            IssuerRefused: An API key, which is used as it is.
        """
        return self.tokens.mint(credential, secret, request)

    def check(self) -> None:
        """Prove that the management API answers and takes the admin token. May be repeated."""
        self._manage("GET", _APPLICATIONS, {}, query={"limit": "1"}).entries("items")

    def close(self) -> None:
        """Let go of connections; may be repeated."""
        self.exchange.close()

    def _manage(self, method: str, path: str, values: Mapping[str, str], **more: Any) -> Answer:
        return self.exchange.send(
            Call(
                method=method,
                base=self.base,
                path=path,
                values=values,
                authority=Authority.MANAGEMENT,
                bearer=self.admin_token,
                **more,
            )
        )

    def _end(self, method: str, suffix: str, credential: Credential, secret_id: str) -> None:
        place = _Place.of(credential)
        values = {**place.values, "id": secret_id}
        if credential.kind is Kind.API_KEY:
            self._refuse_foreign(values, key_name_of(credential))
        path = place.path + suffix
        answer = self._manage(method, path, values, changes=True, absent_is_fine=True)
        # A wrong address answers 404 too; only the list tells that from an unknown id.
        if answer.absent and secret_id in {listed.secret_id for listed in self.list(credential)}:
            raise answer.call.senseless("denies a secret that it lists")

    def _refuse_foreign(self, values: Mapping[str, str], name: str) -> None:
        answer = self._manage("GET", f"{_KEYS}/{{id}}", values, absent_is_fine=True)
        if not answer.absent and answer.text("name") != name:
            raise IssuerRefused(f"{answer.call}: the key belongs to another name than {name}")

    def _read(self, path: str, secret: Secret) -> None:
        call = Call(
            method="GET",
            base=self.base,
            path=path,
            query={"limit": "1"},
            authority=Authority.BEARER,
            bearer=secret,
        )
        self.exchange.send(call)

    def _prove_known(self, secret: Secret) -> None:
        try:
            self._read(_READS["cases:read"], secret)
        except ScopeRefused:
            return  # it was recognised, and that is all there is to prove


def _listed(entry: Answer) -> Listed:
    try:
        status = SecretStatus(entry.text("status"))
    except ValueError as error:
        raise entry.call.senseless("`status` is none that we know") from error
    label = entry.member("label")
    if not isinstance(label, str):
        raise entry.call.senseless("`label` is not a text")
    return Listed(entry.text("id"), label, status, entry.moment("created_at"))


class CaseForgeIssuerFactory:
    """Opens sessions with CaseForge by its management API."""

    options = CaseForgeOptions
    credential_options = CaseForgeCredentialOptions

    def traits(self, options: CaseForgeOptions) -> Traits:
        """Two at once, made by the server; complete lists; disabling."""
        return Traits(
            issuer_class=IssuerClass.MANY,
            max_active=MAX_ACTIVE,
            propagation=options.propagation,
            lists=True,
            disables=True,
            catalogue=dict(CATALOGUE),
            key_types=KEY_TYPES,
        )

    def validate(self, options: CaseForgeOptions) -> Iterable[Mistake]:
        """The addresses."""
        yield from url_mistakes("url", options.url)
        if options.auth_url:
            yield from url_mistakes("auth_url", options.auth_url)

    def validate_credential(
        self, options: CaseForgeOptions, credential: Credential
    ) -> Iterable[Mistake]:
        """The client id of an OAuth client, the name and type of an API key."""
        del options
        yield from identity_mistakes(credential)
        yield from key_mistakes(credential)

    def account(self, options: CaseForgeOptions, credential: Credential) -> str | None:
        """The application, or the name that all keys of the credential have."""
        del options
        return credential.client_id or key_name_of(credential)

    def open(self, options: CaseForgeOptions, context: PluginContext) -> CaseForgeIssuer:
        """A session; connects with the first call.

        Raises:
            ConfigError: A reference or the CA bundle leads nowhere.
        """
        bundle = context.home / options.ca_bundle if options.ca_bundle else None
        admin_token = context.references.resolve(options.admin_token)
        exchange = Exchange(context, bundle)
        auth = options.auth_url or options.url
        return CaseForgeIssuer(
            traits=self.traits(options),
            base=options.url,
            tokens=TokenEndpoint(exchange, context.clock, auth, TOKEN_PATH),
            exchange=exchange,
            admin_token=admin_token,
        )
