"""A secret value that never shows itself."""

import hmac
from typing import Final, NoReturn, SupportsIndex

_SHOWN: Final = "Secret(hidden)"
_FINGERPRINT_HEX: Final = 16


class Secret:
    """The value of one version of a credential.

    It never shows itself: `repr`, `str` and `format` give a fixed text, pickling and copying are
    refused, comparison takes constant time. `reveal()` is the only way out, so a search for that
    word finds every place where a value leaves the type.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value:
            raise ValueError("a secret is never empty")
        self._value = value

    def reveal(self) -> str:
        """The value itself: for a wire, a backend or a consumer, never for a message."""
        return self._value

    def __repr__(self) -> str:
        return _SHOWN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(_SHOWN, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Secret is not pickled or copied")


class Fingerprinter:
    """Keyed hash of secrets: equal secrets compare equal, and the hash is safe to store and print.

    HMAC-SHA-256 under a key of the keyring, so that nobody without the key can test a guess; the
    first 64 bits are kept, enough to tell apart the secrets of one installation.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, secret: Secret) -> str:
        """The fingerprint of `secret`: 16 hexadecimal digits."""
        return self.whole(secret.reveal().encode()).hex()[:_FINGERPRINT_HEX]

    def whole(self, value: bytes) -> bytes:
        """All 32 bytes of the hash, of which a fingerprint is the first 8.

        For texts that may turn out to be a secret, millions of them; kept nowhere.
        """
        return hmac.digest(self._key, value, "sha256")
