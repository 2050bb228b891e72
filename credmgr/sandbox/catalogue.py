"""What CaseForge documents about itself: key types, grant types and the ten scopes."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Environment(StrEnum):
    """The world that a credential sees; for an API key CaseForge calls it the key type."""

    SANDBOX = "sandbox"
    LIVE = "live"


class CredentialKind(StrEnum):
    """The two ways in."""

    API_KEY = "api-key"
    OAUTH_CLIENT = "oauth-client"


KEY_PREFIXES: Final[Mapping[Environment, str]] = MappingProxyType(
    {Environment.SANDBOX: "cf_sand_", Environment.LIVE: "cf_live_"}
)

CLIENT_CREDENTIALS: Final = "client_credentials"
GRANT_TYPES: Final = (CLIENT_CREDENTIALS, "authorization_code", "refresh_token")
"""What an application may be registered for; the sandbox serves only the first."""

SCOPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cases:read": "case details, the case list and case history",
        "cases:write": "creating, updating, assigning and closing cases",
        "sar:read": "filed SARs and SAR drafts",
        "sar:write": "drafting SARs and submitting them for review",
        "watchlist:read": "watchlist entries, and running screenings",
        "watchlist:write": "adding, updating and removing watchlist entries",
        "transactions:read": "transaction records and the search through them",
        "subjects:read": "subject profiles and risk scores",
        "subjects:write": "creating and updating subject profiles",
        "alerts:read": "alerts of the rules engine",
    }
)
ALL_SCOPES: Final = tuple(SCOPES)
