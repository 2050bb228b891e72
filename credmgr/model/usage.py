"""Who used what, counted."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from credmgr.model.names import Name


@dataclass(frozen=True, slots=True)
class Usage:
    """Uses of one kind, counted together.

    Attributes:
        consumer: Who.
        credential: Of what.
        version: Which version of it.
        scopes: What was asked for; empty when the secret itself was read.
        first_seen: When first.
        last_seen: When last.
        count: How often.
    """

    consumer: Name
    credential: Name
    version: UUID
    scopes: frozenset[str]
    first_seen: datetime
    last_seen: datetime
    count: int = 1
