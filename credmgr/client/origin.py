"""Where tokens come from, as a `TokenSource` sees it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

from credmgr.errors import TokenUnavailable

LONGEST = timedelta(days=1)
"""No token is kept for longer than this, whatever its issuer says."""
SHORTLY = timedelta(seconds=1)


class Fresh(NamedTuple):
    """A token that has just been given.

    Attributes:
        value: The token.
        life: How long it lives from when it was asked for.
        scopes: What it may do, as far as that was told.
    """

    value: str
    life: timedelta
    scopes: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Fresh(hidden, life={self.life}, scopes={sorted(self.scopes)})"


class Origin(Protocol):
    """Gives tokens. Thread-safe."""

    def fetch(self) -> Fresh:
        """A token that is valid now.

        Raises:
            CredmgrError: There is none; `retryable` says whether it may be asked for again.
        """
        ...

    def outdated(self) -> bool:
        """Whether to fetch again though the token's end is far; asked once a minute.

        Raises:
            CredmgrError: It cannot be told now.
        """
        ...

    def reject(self, token: str) -> None:
        """Report that an API refused `token`. May be repeated.

        Raises:
            CredmgrError: It could not be reported.
        """
        ...


def fresh(answer: Mapping[str, Any]) -> Fresh:
    """The token in a token endpoint's answer (RFC 6749 §5.1).

    Raises:
        TokenUnavailable: It is not what that section says.
    """
    value, life = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not value:
        raise malformed("no token is in the answer")
    if str(answer.get("token_type")).lower() != "bearer":
        raise malformed("the token is of another type than Bearer")
    if not isinstance(life, int) or isinstance(life, bool) or life <= 0:
        raise malformed("the answer does not say how long the token lives")
    lives = min(timedelta(seconds=min(life, LONGEST.total_seconds())), LONGEST)
    return Fresh(value, lives, frozenset(str(answer.get("scope") or "").split()))


def malformed(what: str) -> TokenUnavailable:
    """An answer that makes no sense; the next one may."""
    return TokenUnavailable(what, retry_after=SHORTLY)
