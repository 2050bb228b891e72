"""The sign of each state, the same in tables and log lines."""

from collections.abc import Mapping
from typing import Final

SIGNS: Final[Mapping[str, str]] = {
    "INTENT": "○",
    "CREATED": "◔",
    "STAGED": "◑",
    "VERIFIED": "◕",
    "OVERLAP": "◉",
    "REVOKING": "◌",
    "DONE": "●",
    "ABORTING": "↩",
    "ABORTED": "✗",
    "OPERATOR": "!",
    "active": "●",
    "retired": "◌",
    "revoked": "✗",
    "unseen": "·",
    "current": "●",
    "behind": "◔",
    "drifted": "≠",
    "refused": "✗",
    "unreachable": "◌",
}
"""Of a rotation's states, a credential's statuses and a copy's conditions."""
