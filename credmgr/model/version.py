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
