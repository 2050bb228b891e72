"""A credential for the Azure SDK that gives one fixed token, and remembers what it was asked."""

from typing import Any, Final, NamedTuple

FAR_AWAY: Final = 4_102_444_800
"""2100-01-01, in seconds since 1970."""


class Token(NamedTuple):
    """What the SDK expects of a token."""

    token: str
    expires_on: int


class StaticToken:
    """A `TokenCredential` for a server that takes this token.

    Attributes:
        asked: Every scope and every tenant that a token was wanted for.
    """

    def __init__(self, token: str, expires_on: int = FAR_AWAY) -> None:
        self.asked: list[tuple[tuple[str, ...], str | None]] = []
        self._token = Token(token, expires_on)

    def get_token(self, *scopes: str, tenant_id: str | None = None, **_: Any) -> Any:
        """The token, whatever it is for."""
        self.asked.append((scopes, tenant_id))
        return self._token

    def __repr__(self) -> str:
        return "StaticToken(hidden)"
