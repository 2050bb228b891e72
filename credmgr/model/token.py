"""Short-lived access tokens made from a credential's secret."""

from dataclasses import dataclass
from datetime import datetime

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
