"""`/openapi.json`: the API's description, made from the routes themselves."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from credmgr import __version__
from credmgr.api.callers import Caller
from credmgr.api.oauth import ERROR
from credmgr.api.operation import Access, Operation
from credmgr.api.rendering import as_json
from credmgr.model.names import MAX_NAME_LENGTH, PATTERN

PATH: Final = "/openapi.json"
_PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_ALWAYS: Final = (400, 403, 404, 405, 421, 431)
"""What any request may be refused with before it reaches its route."""
_SECURITY: Final[Mapping[Access, Any]] = {
    Access.ANYBODY: [],
    Access.CLIENT: [{"client": []}, {}],
    Access.CALLER: [{"bearer": []}],
    Access.OPERATOR: [{"bearer": []}],
}


class OpenApi:
    """The route of the description."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = (*operations, *self.operations())
        self._text = document(self._operations)

    def operations(self) -> Sequence[Operation]:
        """What may be asked."""
        return (
            Operation(
                "GET",
                PATH,
                Access.ANYBODY,
                self.read,
                "This description.",
                {200: {"type": "object"}},
            ),
        )

    async def read(self, _request: Request, _caller: Caller | None) -> Response:
        """It."""
        return as_json(self._text)


def document(operations: Sequence[Operation]) -> Mapping[str, Any]:
    """The OpenAPI 3.1 document of these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        path = one.path.replace(":path}", "}")
        paths.setdefault(path, {})[one.method.lower()] = _described(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "credmgr",
            "version": __version__,
            "description": "Access tokens and secrets for consumers; what is known of them for"
            " operators. A slash within a name is written %2F or as it is.",
        },
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM, "OAuthError": ERROR},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "client": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _described(one: Operation) -> Mapping[str, Any]:
    told: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{one.method.lower()}{one.path}").strip("_"),
        "summary": one.summary,
        "security": _SECURITY[one.access],
        "parameters": _parameters(one),
        "responses": _responses(one),
    }
    if one.body:
        content = {media: {"schema": schema} for media, schema in one.body.items()}
        told["requestBody"] = {"required": True, "content": content}
    return told


def _parameters(one: Operation) -> Sequence[Mapping[str, Any]]:
    name = {"type": "string", "pattern": PATTERN, "maxLength": MAX_NAME_LENGTH}
    inside = [
        {"name": found, "in": "path", "required": True, "schema": name}
        for found in re.findall(r"{(\w+):path}", one.path)
    ]
    query = [{"name": found, "in": "query", **told} for found, told in one.parameters.items()]
    return [*inside, *query]


def _responses(one: Operation) -> Mapping[str, Any]:
    kind, media = "Problem", "application/problem+json"
    if one.access is Access.CLIENT:
        kind, media = "OAuthError", "application/json"
    said: dict[str, Any] = {}
    for status, schema in one.answers.items():
        said[str(status)] = {"description": HTTPStatus(status).phrase}
        if schema is not None:
            said[str(status)]["content"] = {one.media: {"schema": schema}}
    known = {401} if one.access in (Access.CALLER, Access.OPERATOR) else set[int]()
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status in sorted({*_ALWAYS, *known, *one.refusals}):
        content = {media: {"schema": {"$ref": f"#/components/schemas/{kind}"}}}
        said[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {**problem, **content},
        }
    return said
