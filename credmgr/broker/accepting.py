"""What a token must be like before it is shared, whichever issuer's plugin brought it."""

import json
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from dataclasses import replace
from datetime import timedelta
from typing import Final

from credmgr.errors import InvalidAnswer
from credmgr.model.token import Token, TokenRequest

LONGEST_LIFE: Final = timedelta(hours=24)
"""A token is never believed to live longer; asking again too early harms nobody."""
_JWT_PARTS: Final = 3


def accepted(token: Token, request: TokenRequest) -> Token:
    """The token, its life clamped to a day.

    Raises:
        InvalidAnswer: It is bound to a sender's key (RFC 8705, RFC 9449), is no bearer token, has
            no life left, or has scopes that nobody asked for.
    """
    if token.token_type.lower() != "bearer":
        raise InvalidAnswer("the token is not of type Bearer, so it cannot be shared")
    if _bound(token.value.reveal()):
        raise InvalidAnswer("the token is bound to a sender's key, so it cannot be shared")
    life = token.expires_at - token.issued_at
    if life <= timedelta():
        raise InvalidAnswer("the token has ended before it began")
    if request.scopes and not token.scopes <= request.scopes:
        raise InvalidAnswer("the token has scopes that nobody asked for")
    return replace(token, expires_at=token.issued_at + min(life, LONGEST_LIFE))


def _bound(value: str) -> bool:
    """Whether it is a JWT with the claim `cnf` (RFC 7800); the signature is the API's business."""
    parts = value.split(".")
    if len(parts) != _JWT_PARTS:
        return False
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (NotBase64, ValueError, RecursionError):
        return False
    return isinstance(claims, dict) and "cnf" in claims
