"""`/v1/rotations`: the newest rotations, for operators."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from credmgr.api.callers import Caller
from credmgr.api.house import House
from credmgr.api.operation import Access, Operation
from credmgr.api.problems import bad_request, not_found
from credmgr.api.rendering import as_json
from credmgr.errors import InvalidName
from credmgr.model.names import Name
from credmgr.model.rotation import Rotation

_MOST: Final = 1000
_USUAL: Final = 50
_MOMENT: Final = {"type": ["string", "null"]}
SCHEMA: Final = {
    "type": "object",
    "required": ["rotations"],
    "properties": {
        "rotations": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "credential", "state"],
                "properties": {
                    "id": {"type": "string"},
                    "credential": {"type": "string"},
                    "state": {"type": "string"},
                    "trigger": {"type": "string"},
                    "attempt": {"type": "integer"},
                    "opened_at": _MOMENT,
                    "entered_at": _MOMENT,
                    "reason": {"type": "string"},
                    "waiting": {"type": "string"},
                },
            },
        }
    },
}
PARAMETERS: Final = {
    "credential": {"schema": {"type": "string"}, "description": "Of one credential only."},
    "limit": {
        "schema": {"type": "integer", "minimum": 1, "maximum": _MOST, "default": _USUAL},
        "description": "So many at most, the newest first.",
    },
}


class Rotations:
    """The route of rotations."""

    def __init__(self, house: House) -> None:
        self._house = house

    def operations(self) -> Sequence[Operation]:
        """What may be asked."""
        return (
            Operation(
                "GET",
                "/v1/rotations",
                Access.OPERATOR,
                self.newest,
                "The newest rotations.",
                {200: SCHEMA},
                PARAMETERS,
            ),
        )

    async def newest(self, request: Request, _caller: Caller | None) -> Response:
        """The newest of one credential or of all."""
        fields = request.state.query
        limit = _count(fields.get("limit", str(_USUAL)))
        name = _named(fields["credential"]) if "credential" in fields else None
        rows = await self._house.work.do(self._house.app.store.ledger.rotations, name, limit)
        return as_json({"rotations": [_facts(row) for row in rows]})


def _named(text: str) -> Name:
    try:
        return Name(text)
    except InvalidName:
        raise not_found() from None


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= _MOST:
        raise bad_request(f"The limit is a number from 1 to {_MOST}.")
    return int(text[:9])


def _facts(row: Rotation) -> dict[str, Any]:
    return {
        "id": row.id,
        "credential": row.credential,
        "state": row.state,
        "trigger": row.trigger,
        "attempt": row.attempt,
        "opened_at": row.opened_at,
        "entered_at": row.entered_at,
        "reason": row.reason,
        "waiting": row.waiting,
    }
