"""`/v1/credentials`: what is known of a credential; never its value."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from credmgr.api.callers import Caller
from credmgr.api.house import House
from credmgr.api.operation import Access, Operation
from credmgr.api.problems import not_found
from credmgr.api.reading import credential_in
from credmgr.api.rendering import as_json
from credmgr.errors import UnknownCredential
from credmgr.model.credential import Enrolled
from credmgr.model.names import Name
from credmgr.model.rotation import Rotation
from credmgr.model.version import Version

SCHEMA: Final = {
    "type": "object",
    "required": ["name", "kind", "environment", "owner", "status", "issuer", "scopes"],
    "properties": {
        "name": {"type": "string"},
        "kind": {"type": "string"},
        "environment": {"type": "string"},
        "owner": {"type": "string"},
        "status": {"type": "string"},
        "issuer": {"type": "string"},
        "scopes": {"type": "array", "items": {"type": "string"}},
        "client_id": {"type": ["string", "null"]},
        "version": {"type": ["string", "null"]},
        "secret_id": {"type": ["string", "null"]},
        "issued_at": {"type": ["string", "null"]},
        "expires_at": {"type": ["string", "null"]},
        "rotation": {"type": ["string", "null"]},
        "next_due_at": {"type": ["string", "null"]},
    },
}
LIST: Final = {
    "type": "object",
    "required": ["credentials"],
    "properties": {"credentials": {"type": "array", "items": SCHEMA}},
}


class Credentials:
    """The routes of credentials."""

    def __init__(self, house: House) -> None:
        self._house = house

    def operations(self) -> Sequence[Operation]:
        """What may be asked."""
        return (
            Operation(
                "GET",
                "/v1/credentials",
                Access.CALLER,
                self.every,
                "What is known of each credential that the caller may see.",
                {200: LIST},
            ),
            Operation(
                "GET",
                "/v1/credentials/{credential:path}",
                Access.CALLER,
                self.one,
                "What is known of one credential.",
                {200: SCHEMA},
            ),
        )

    async def every(self, _request: Request, caller: Caller | None) -> Response:
        """Those that the caller may see, by name."""
        found = await self._house.work.do(self._all)
        seen = [facts for name, facts in found if caller and caller.sees(name)]
        return as_json({"credentials": seen})

    async def one(self, request: Request, caller: Caller | None) -> Response:
        """One of them."""
        name = credential_in(request)
        if caller is None or not caller.sees(name):
            raise not_found()
        return as_json(await self._house.work.do(self._one, name))

    def _all(self) -> Sequence[tuple[Name, dict[str, Any]]]:
        ledger = self._house.app.store.ledger
        moving = {one.credential: one for one in ledger.open_rotations()}
        current = ledger.current_versions()
        return [
            (name, _facts(one, current.get(name), moving.get(name)))
            for one in ledger.all_enrolled()
            for name in (one.credential.name,)
        ]

    def _one(self, name: Name) -> dict[str, Any]:
        ledger = self._house.app.store.ledger
        try:
            enrolled = ledger.enrolled(name)
        except UnknownCredential:
            raise not_found() from None
        return _facts(enrolled, ledger.current_versions().get(name), ledger.open_rotation(name))


def _facts(enrolled: Enrolled, current: Version | None, moving: Rotation | None) -> dict[str, Any]:
    credential = enrolled.credential
    return {
        "name": credential.name,
        "kind": credential.kind,
        "environment": credential.environment,
        "owner": credential.owner,
        "status": enrolled.status,
        "issuer": credential.issuer,
        "scopes": sorted(credential.scopes),
        "client_id": credential.client_id,
        "version": current.id if current else None,
        "secret_id": current.secret_id if current else None,
        "issued_at": current.issued_at if current else None,
        "expires_at": current.expires_at if current else None,
        "rotation": moving.state if moving else None,
        "next_due_at": enrolled.next_due_at,
    }
