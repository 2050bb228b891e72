"""What is asked of the broker, and under which key the answer is shared."""

from typing import NamedTuple

from credmgr.model.credential import Credential
from credmgr.model.names import Name
from credmgr.model.token import TokenRequest


class Ask(NamedTuple):
    """A wish for a token. A tuple, because it is looked up with every request.

    Attributes:
        consumer: Who asks; None is an operator in this process, who may have everything.
        credential: Of which credential.
        scopes: The scopes wanted; None or empty asks for all that the consumer may have.
        audience: For whom the token is meant, where the issuer knows audiences.
    """

    consumer: Name | None
    credential: Name
    scopes: frozenset[str] | None = None
    audience: str | None = None


class Key(NamedTuple):
    """What two asks must agree in to share a token, besides the version it is minted from."""

    issuer: Name
    credential: Name
    scopes: frozenset[str]
    audience: str | None


class Wanted(NamedTuple):
    """An ask that is granted: what to request of the issuer."""

    credential: Credential
    request: TokenRequest

    @property
    def key(self) -> Key:
        """Under which the token is shared."""
        wanted = self.request
        return Key(self.credential.issuer, self.credential.name, wanted.scopes, wanted.audience)
