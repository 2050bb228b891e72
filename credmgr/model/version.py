"""One issued secret of a credential."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from credmgr.model.names import Name


class Stage(StrEnum):
    """Which of a credential's secrets a copy is (AWSCURRENT, AWSPENDING, AWSPREVIOUS elsewhere)."""

    CURRENT = "current"
    NEXT = "next"
    PREVIOUS = "previous"


class VersionStatus(StrEnum):
    """How far an issued secret has come.

    An orphan was issued and lost before it was staged, or was never promoted; it is revoked, and
    the record never expires.
    """

    ISSUED = "issued"
    STAGED = "staged"
    CURRENT = "current"
    PREVIOUS = "previous"
    ORPHAN = "orphan"
    REVOKED = "revoked"


class KeyType(StrEnum):
    """The two worlds that an issuer keeps apart, where it does."""

    SANDBOX = "sandbox"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Version:
    """One issued secret, without its value.

    Attributes:
        id: credmgr's id, also the version's id in every backend.
        credential: Whose secret it is.
        secret_id: The issuer's id for it.
        label: What credmgr wrote on it at the issuer; empty for imported ones.
        status: How far it has come.
        fingerprint: Keyed hash; empty while the value was never in hand.
        issued_at: When the issuer made it.
        expires_at: When the issuer lets it die by itself; None means never.
        ended_at: When it was proven refused.
        key_type: Of what type it was seen to be while the value was in hand; None where the issuer
            has no types, or its secrets do not show theirs.
    """

    id: UUID
    credential: Name
    secret_id: str
    label: str
    status: VersionStatus
    fingerprint: str
    issued_at: datetime
    expires_at: datetime | None = None
    ended_at: datetime | None = None
    key_type: KeyType | None = None
