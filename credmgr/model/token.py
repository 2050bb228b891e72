"""Short-lived access tokens made from a credential's secret."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from credmgr.model.credential import Place
from credmgr.model.names import Name
from credmgr.model.secret import Secret


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What is asked of the issuer.

    Attributes:
        scopes: The scopes wanted; empty asks for the issuer's default.
        audience: For whom the token is meant, where the issuer knows audiences.
    """

    scopes: frozenset[str] = frozenset()
    audience: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """An access token.

    Attributes:
        value: The token itself.
        scopes: What the issuer really granted.
        issued_at: When it was received.
        expires_at: When it ends.
        token_type: As the issuer says; `Bearer` unless bound to a key.
    """

    value: Secret
    scopes: frozenset[str]
    issued_at: datetime
    expires_at: datetime
    token_type: str = "Bearer"  # noqa: S105 (a type, not a value)


class TokenForm(StrEnum):
    """How a token is written where somebody can only read."""

    RAW = "raw"
    """The token itself."""
    JSON = "json"
    """`access_token`, `token_type`, `expires_at` (ISO 8601, UTC) and `scope`, as an object."""


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """Where a fresh token is kept for consumers that can only read there.

    Attributes:
        credential: Whose token.
        place: Where.
        scopes: The scopes that it is to have; empty means those of the credential.
        audience: For whom it is meant, where the issuer knows audiences.
        form: How it is written.
    """

    credential: Name
    place: Place
    scopes: frozenset[str] = frozenset()
    audience: str | None = None
    form: TokenForm = TokenForm.RAW
