"""A workload that reads secrets or tokens, and what it may read."""

from dataclasses import dataclass
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
    """

    name: Name
    owner: str
    grants: tuple[Grant, ...] = ()
    description: str = ""

    def grant(self, credential: Name) -> Grant | None:
        """Its grant for `credential`; None when it may read nothing of it."""
        return next((grant for grant in self.grants if grant.credential == credential), None)
