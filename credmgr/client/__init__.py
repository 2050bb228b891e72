"""What a consumer imports: secrets and tokens that are valid now.

From credmgr, which `CREDMGR_SOCKET` or `CREDMGR_URL` says where it is:

    caseforge.Client(api_key=get_secret("caseforge/api-key"))

    tokens = TokenSource("caseforge/client-secret", scopes=["cases:read"])
    httpx.Client(auth=CredmgrAuth(tokens))

And without it, straight from the issuer: `TokenSource(ClientCredentials(...))`. Whatever goes wrong
is a `CredmgrError`; its `retryable` says whether the same call may succeed later.
"""

from typing import TYPE_CHECKING

from credmgr.client.daemon import Daemon, get_secret
from credmgr.client.direct import ClientCredentials
from credmgr.client.errors import NotLetIn, SecretUnavailable
from credmgr.client.origin import Fresh, Origin
from credmgr.client.source import TokenSource
from credmgr.errors import (
    CredmgrError,
    NotGranted,
    ScopeNotGranted,
    TokenUnavailable,
)

if TYPE_CHECKING:
    from credmgr.client.httpx_auth import CredmgrAuth

__all__ = [
    "ClientCredentials",
    "CredmgrAuth",
    "CredmgrError",
    "Daemon",
    "Fresh",
    "NotGranted",
    "NotLetIn",
    "Origin",
    "ScopeNotGranted",
    "SecretUnavailable",
    "TokenSource",
    "TokenUnavailable",
    "get_secret",
]


def __getattr__(name: str) -> object:
    """`CredmgrAuth` needs httpx, which nothing else here does."""
    if name == "CredmgrAuth":
        from credmgr.client.httpx_auth import CredmgrAuth  # noqa: PLC0415 (only who asks for it)

        return CredmgrAuth
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
