"""Making a consumer's bearer, and knowing it again by its hash."""

import hashlib
import secrets
from typing import Final

from credmgr.model.secret import Secret

PREFIX: Final = "credmgr_"
"""What scanners know a bearer by."""
_BYTES: Final = 32


def new_bearer() -> Secret:
    """A bearer: the prefix and 256 random bits."""
    return Secret(PREFIX + secrets.token_urlsafe(_BYTES))


def digest(value: bytes) -> str:
    """What is kept of a bearer: its SHA-256, hexadecimal."""
    return hashlib.sha256(value).hexdigest()
