"""A workload that reads secrets or tokens, and what it may read."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from credmgr.model.names import Name


class Readable(StrEnum):
    """What a grant opens."""

    SECRET = "secret"  # noqa: S105 (a word of the manifest, not a value)
    TOKEN = "token"  # noqa: S105 (likewise)


@dataclass(frozen=True, slots=True)
class Grant:
    """What one consumer may read of one credential.

    Attributes:
        credential: Of which credential.
        read: Its secret, access tokens made from it, or both.
        scopes: The scopes that its tokens may have at most; empty means those of the credential.
    """

    credential: Name
    read: frozenset[Readable]
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Consumer:
    """A workload with an identity of its own.

    Attributes:
        name: Its name, unique in the manifest.
        owner: Who answers for it: a team or person, free text.
        grants: What it may read, one per credential.
        description: Free text for people.
        uid: The user id by which the Unix socket knows it; None when it has none.
        user: The same by the user's name on this machine.
        operator: Whether it also sees what concerns all credentials: never their values.
    """

    name: Name
    owner: str
    grants: tuple[Grant, ...] = ()
    description: str = ""
    uid: int | None = None
    user: str | None = None
    operator: bool = False

    def grant(self, credential: Name) -> Grant | None:
        """Its grant for `credential`; None when it may read nothing of it."""
        return next((grant for grant in self.grants if grant.credential == credential), None)


@dataclass(frozen=True, slots=True)
class Bearer:
    """The proof of identity that a consumer sends, of which only a hash is kept.

    Attributes:
        consumer: Whose it is.
        digest: SHA-256 of the value, hexadecimal. It is 256 random bits, so that nobody can guess
            it from its hash, and a slow hash would protect nothing more.
        issued_at: When it was made.
        expires_at: When it ends, after it was rotated; None while it has no end.
    """

    consumer: Name
    digest: str
    issued_at: datetime
    expires_at: datetime | None = None
