"""Which data action a request needs (learn.microsoft.com, "Azure permissions for Security")."""

import re
from typing import Final

PREFIX: Final = "Microsoft.KeyVault/vaults/secrets/"
_ACTIONS: Final = (
    ("GET", r"/(?:deleted)?secrets", "readMetadata/action"),
    ("GET", r"/secrets/[^/]+/versions", "readMetadata/action"),
    ("GET", r"/secrets/[^/]+/[^/]*", "getSecret/action"),
    ("GET", r"/deletedsecrets/[^/]+", "readMetadata/action"),
    ("PUT", r"/secrets/[^/]+", "setSecret/action"),
    ("PATCH", r"/secrets/[^/]+/[^/]*", "update/action"),
    ("DELETE", r"/secrets/[^/]+", "delete"),
    ("DELETE", r"/deletedsecrets/[^/]+", "purge/action"),
    ("POST", r"/deletedsecrets/[^/]+/recover", "recover/action"),
    ("POST", r"/secrets/[^/]+/backup", "backup/action"),
    ("POST", r"/secrets/restore", "restore/action"),
)


def action_of(method: str, path: str) -> str | None:
    """The data action; None for what is no request."""
    for known, pattern, action in _ACTIONS:
        if method == known and re.fullmatch(pattern, path):
            return PREFIX + action
    return None
