"""CaseForge's API under `/v2`: every operation behind its scope, every call in the ground truth."""

from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from credmgr.model.clock import Clock
from credmgr.sandbox import casework, screening
from credmgr.sandbox.admin import Endpoint
from credmgr.sandbox.answers import NO_STORE, Refusal, answered
from credmgr.sandbox.database import Database
from credmgr.sandbox.fields import read_json
from credmgr.sandbox.gate import Caller, Doorkeeper
from credmgr.sandbox.log import OK, EntryKind, GroundTruth
from credmgr.sandbox.operation import Call, Operation
from credmgr.sandbox.records import Records

PREFIX: Final = "/v2"
OPERATIONS: Final = (*casework.OPERATIONS, *screening.OPERATIONS)
_WITH_BODY: Final = ("POST", "PATCH")


@dataclass(frozen=True, slots=True)
class Api:
    """The API."""

    doorkeeper: Doorkeeper
    database: Database
    log: GroundTruth
    clock: Clock

    def routes(self) -> list[Route]:
        """Where every operation is."""
        return [
            Route(PREFIX + operation.path, self._endpoint(operation), methods=[operation.method])
            for operation in OPERATIONS
        ]

    def _endpoint(self, operation: Operation) -> Endpoint:
        route = f"{operation.method} {PREFIX}{operation.path}"

        async def endpoint(request: Request) -> Response:
            caller = self.doorkeeper.admit(request, operation.scope, route)
            try:
                body = await read_json(request) if operation.method in _WITH_BODY else {}
                with self.database.transaction():
                    answer = operation.run(self._call(caller, request, body))
                    self._note(caller, OK, route)
            except Refusal as refusal:
                self._note(caller, refusal.reason, route)
                raise
            if answer.status == 204:  # noqa: PLR2004
                return Response(status_code=204, headers=NO_STORE)
            return answered(answer.shown, answer.status)

        return endpoint

    def _call(self, caller: Caller, request: Request, body: dict[str, Any]) -> Call:
        return Call(
            caller=caller,
            records=Records(self.database, caller.environment),
            path=request.path_params,
            query=request.query_params,
            body=body,
            now=self.clock.now(),
        )

    def _note(self, caller: Caller, outcome: str, route: str) -> None:
        self.log.append(EntryKind.API_ACCEPTED, caller.who, outcome=outcome, detail=route)
