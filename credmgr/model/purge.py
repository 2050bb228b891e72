"""The wish that every process drops the tokens of one credential."""

from dataclasses import dataclass
from datetime import datetime

from credmgr.model.names import Name


@dataclass(frozen=True, slots=True)
class Purge:
    """One such wish; each live daemon acknowledges it.

    Attributes:
        id: 1, 2, 3 …, growing.
        credential: Whose tokens.
        asked_at: When.
    """

    id: int
    credential: Name
    asked_at: datetime
