"""One route: from its description come the routing, the checks, OpenAPI and the test matrix."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from credmgr.api.callers import Caller

Handler: TypeAlias = Callable[[Request, Caller | None], Awaitable[Response]]


class Access(StrEnum):
    """Who may call a route."""

    ANYBODY = "anybody"
    """Without proof of who it is: nothing is told that concerns a credential."""
    CLIENT = "client"
    """A consumer that authenticates as RFC 6749 says; the route looks itself."""
    CALLER = "caller"
    """Consumers and operators; each sees what its grants give."""
    OPERATOR = "operator"
    """Operators."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A route.

    Attributes:
        method: The HTTP method.
        path: As Starlette has it.
        access: Who may call it.
        handler: What answers; it is given the caller, None where anybody may call.
        summary: One sentence.
        answers: The status of success, with the schema of its JSON; None for no body.
        parameters: Query parameters by name, with their schema and what they are.
        body: Schema of the request's body by media type.
        refusals: Further statuses that it may answer.
        media: The media type of success.
    """

    method: str
    path: str
    access: Access
    handler: Handler
    summary: str
    answers: Mapping[int, Mapping[str, Any] | None]
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    body: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    refusals: Sequence[int] = ()
    media: str = "application/json"
