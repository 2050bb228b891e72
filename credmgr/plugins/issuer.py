"""The interface of an issuer: the authority that makes, lists and revokes secrets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from credmgr.errors import IssuerRefused
from credmgr.model.credential import Credential
from credmgr.model.secret import Secret
from credmgr.model.token import Token, TokenRequest
from credmgr.model.version import KeyType
from credmgr.plugins.backend import Mistake
from credmgr.plugins.context import PluginContext


class AudienceRefused(IssuerRefused):
    """The issuer makes no tokens for this audience (RFC 8707 §2, `invalid_target`)."""

    code = "audience_refused"


class IssuerClass(StrEnum):
    """How an issuer's secrets come to be (DESIGN §5)."""

    MANY = "many"
    """Several at once, made by the server, shown once."""
    MANUAL = "manual"
    """A person makes and revokes them in a dashboard."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What the engine must know of an issuer before it acts.

    Attributes:
        issuer_class: How secrets come to be.
        max_active: How many may be active at once for one credential; None means unbounded.
        propagation: How long a new or revoked secret may take to be known everywhere; above zero, a
            new one is trusted only after several successful logins spread over that time.
        lists: Whether `list` is complete, so that orphans are found by their label.
        disables: Whether `disable` exists.
        catalogue: Every scope that exists, with its meaning; empty when unknown.
        key_types: What its secrets begin with, and of what type they are then.
    """

    issuer_class: IssuerClass
    max_active: int | None
    propagation: timedelta
    lists: bool
    disables: bool
    catalogue: dict[str, str]
    key_types: Mapping[str, KeyType] = field(default_factory=dict)

    def key_type(self, secret: Secret) -> KeyType | None:
        """Of what type a secret is, by how it begins; None when it does not show."""
        value = secret.reveal()
        types = (sort for prefix, sort in self.key_types.items() if value.startswith(prefix))
        return next(types, None)


class SecretStatus(StrEnum):
    """What the issuer says of a secret."""

    ACTIVE = "active"
    DISABLED = "disabled"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Issued:
    """A new secret, shown this once.

    Attributes:
        secret_id: The issuer's id for it.
        secret: The value.
        issued_at: By the issuer's clock, or ours where it does not say.
        expires_at: When it dies by itself; None means never.
    """

    secret_id: str
    secret: Secret
    issued_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A secret that exists at the issuer, without its value."""

    secret_id: str
    label: str
    status: SecretStatus
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Proof:
    """That a secret really logs in.

    Attributes:
        scopes: The scopes that the login showed; None when the issuer's answer does not tell.
    """

    scopes: frozenset[str] | None


class Issuer(Protocol):
    """An open session with an issuer. Thread-safe.

    Besides what each method lists, all of them may raise `IssuerUnavailable` (nothing was applied;
    repeat it, after `retry_after` where given), `InvalidAnswer` (the answer makes no sense), and
    `IssuerRefused` (the issuer said no; repeating soon will not help).
    """

    @property
    def traits(self) -> Traits:
        """What the engine must know before it acts."""
        ...

    def create(self, credential: Credential, label: str) -> Issued:
        """Make a new secret that carries `label`. Never repeat blindly: look for the label first.

        Raises:
            OutcomeUnknown: It may have been made.
            NoFreeSlot: The issuer allows no further one.
            OperatorNeeded: A person has to make it; the steps say how.
        """
        ...

    def list(self, credential: Credential) -> Sequence[Listed]:
        """Every secret of the credential that is not revoked. May be repeated.

        Empty when `traits.lists` is False.
        """
        ...

    def disable(self, credential: Credential, secret_id: str) -> None:
        """Make one secret stop working, reversibly. An unknown or dead one is no error.

        Raises:
            OutcomeUnknown: It may have been disabled.
            OperatorNeeded: A person has to do it.
        """
        ...

    def revoke(self, credential: Credential, secret_id: str) -> None:
        """End one secret for good. An unknown or dead one is no error; repeat freely.

        Raises:
            OutcomeUnknown: It may have been revoked.
            OperatorNeeded: A person has to do it.
        """
        ...

    def verify(self, credential: Credential, secret: Secret) -> Proof:
        """Really log in with `secret`. May be repeated.

        Raises:
            SecretRejected: The issuer does not accept it.
            ScopeRefused: It logs in, but not with the declared scopes.
        """
        ...

    def mint(self, credential: Credential, secret: Secret, request: TokenRequest) -> Token:
        """Exchange the secret for an access token. May be repeated.

        Raises:
            SecretRejected: The issuer does not accept it.
            ScopeRefused: The issuer does not grant the scopes.
            AudienceRefused: It makes no tokens for the audience.
        """
        ...

    def check(self) -> None:
        """Prove that the issuer answers and accepts our management credential. May be repeated.

        Raises:
            IssuerError: It does not; the message says what to mend.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class IssuerFactory(Protocol):
    """Validates an issuer's options and a credential's, opens sessions.

    Attributes:
        options: A frozen dataclass of the issuer's options, as of a backend.
        credential_options: A frozen dataclass of what it wants to know of each credential.
    """

    @property
    def options(self) -> type[Any]: ...  # noqa: D102
    @property
    def credential_options(self) -> type[Any]: ...  # noqa: D102

    def traits(self, options: Any) -> Traits:
        """The traits of a session with these options. Touches nothing outside the process."""
        ...

    def validate(self, options: Any) -> Iterable[Mistake]:
        """What the types alone cannot say. Touches nothing outside the process."""
        ...

    def validate_credential(self, options: Any, credential: Credential) -> Iterable[Mistake]:
        """What is wrong with a credential of this issuer; option paths as in the manifest."""
        ...

    def account(self, options: Any, credential: Credential) -> str | None:
        """Which account at the issuer the credential's secrets belong to; None where it has none.

        Two credentials with one account would revoke each other's secrets, so they are refused.
        """
        ...

    def open(self, options: Any, context: PluginContext) -> Issuer:
        """A session; may connect lazily.

        Raises:
            ConfigError: A reference leads nowhere.
        """
        ...
