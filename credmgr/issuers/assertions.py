"""Assertions by which a client proves that it has a private key (RFC 7523 §3)."""

import json
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from credmgr.errors import IssuerRefused, SecretRejected
from credmgr.model.secret import Secret

LIFE: Final = timedelta(seconds=60)
"""An assertion is used at once and once; the rest is for clocks that differ."""
_Key = ECKey | OKPKey | RSAKey
_KEY_TYPES: Final[Mapping[str, type[_Key]]] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}
_ALGORITHMS: Final[Mapping[str, tuple[str, ...]]] = {
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA", "Ed25519"),
    "RSA": ("RS256", "PS256"),
}
_SMALLEST_RSA: Final = 256
"""Bytes of the modulus: 2048 bits (RFC 7518 §3.3)."""


class _Algorithms(JWSRegistry):
    """joserfc's algorithms, without its warning that EdDSA has a newer name (RFC 9864)."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


def assertion(
    client_id: str, audience: str, secret: Secret, now: datetime, offered: frozenset[str]
) -> Secret:
    """A new assertion, good for a minute and for one request.

    Args:
        client_id: Who asserts.
        audience: For whom: the issuer, or its token endpoint.
        secret: A private key, as PEM or as a JWK, whose `kid` and `alg` are kept to.
        now: When.
        offered: The algorithms that the endpoint says it takes; empty is unknown.

    Raises:
        SecretRejected: The secret is no private key that can sign.
        IssuerRefused: The endpoint takes no algorithm that the key can sign with.
    """
    key = _key(secret)
    algorithm = _algorithm(key, offered)
    header = {"alg": algorithm, "typ": "JWT"}
    kid = key.as_dict(private=False).get("kid")
    if kid:
        header["kid"] = str(kid)
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": int(now.timestamp()),
        "exp": int((now + LIFE).timestamp()),
        "jti": secrets.token_urlsafe(24),
    }
    return Secret(jwt.encode(header, claims, key, registry=_Algorithms()))


def _key(secret: Secret) -> _Key:
    text = secret.reveal().strip()
    # Raised outside of `except`: what a parser quotes of a key stays out of our errors.
    try:
        key = _of_jwk(text) if text.startswith("{") else _of_pem(text)
    except (JoseError, UnsupportedAlgorithm, ValueError, TypeError, RecursionError):
        key = None
    if key is None or not key.is_private or not _strong(key):
        raise SecretRejected(
            "the secret is no private key that can sign assertions",
            hint="import one as PEM (PKCS #8, not encrypted) or as a JWK: P-256, Ed25519, or RSA"
            " of 2048 bits or more",
        )
    return key


def _of_pem(text: str) -> _Key | None:
    match load_pem_private_key(text.encode(), password=None):
        case EllipticCurvePrivateKey():
            return ECKey.import_key(text)
        case Ed25519PrivateKey():
            return OKPKey.import_key(text)
        case RSAPrivateKey(key_size=size) if size >= 8 * _SMALLEST_RSA:
            return RSAKey.import_key(text)
        case _:
            return None


def _of_jwk(text: str) -> _Key | None:
    found = json.loads(text)
    kind = _KEY_TYPES.get(str(found.get("kty")))
    short = kind is RSAKey and len(str(found.get("n"))) * 6 < _SMALLEST_RSA * 8
    return None if kind is None or short else kind.import_key(found)


def _curve(key: _Key) -> str:
    return str(key.as_dict(private=False).get("crv", "RSA"))


def _strong(key: _Key) -> bool:
    return _curve(key) in _ALGORITHMS


def _algorithm(key: _Key, offered: frozenset[str]) -> str:
    possible = _ALGORITHMS[_curve(key)]
    declared = key.as_dict(private=False).get("alg")
    wanted = (str(declared),) if declared else possible
    for algorithm in wanted:
        if algorithm in possible and (not offered or algorithm in offered):
            return algorithm
    raise IssuerRefused(
        f"the token endpoint takes no assertion that is signed with {' or '.join(wanted)}",
        hint="it offers " + (", ".join(sorted(offered)) or "what fits the kind of the key"),
    )
