"""What an operation of the API is: its route, the scope it needs, and what it is called with."""

import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from credmgr.sandbox.answers import bad_request, conflict
from credmgr.sandbox.database import stamp
from credmgr.sandbox.fields import Shape, read
from credmgr.sandbox.gate import Caller
from credmgr.sandbox.paging import Page
from credmgr.sandbox.records import Records

Filters: TypeAlias = Mapping[str, Collection[str]]
"""Query parameters that narrow a list, each with the values it may have; none listed: any."""

_ID_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One admitted call of an operation.

    Attributes:
        records: Those of the caller's world; there is no way to the other one.
        path: The parts of the path that vary.
        body: The JSON object sent, empty for methods without one.
    """

    caller: Caller
    records: Records
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    now: datetime

    def page(self, collection: str, filters: Filters) -> "Answer":
        """The page of `collection` that the query asks for.

        Raises:
            Refusal: 400, a filter has a value that no record ever has.
        """
        wanted = {name: self.query[name] for name in filters if name in self.query}
        for name, value in wanted.items():
            if filters[name] and value not in filters[name]:
                raise bad_request(f"{name} is one of {', '.join(filters[name])}")
        found = (
            record
            for record in self.records.all(collection)
            if all(str(record.body.get(name)) == value for name, value in wanted.items())
        )
        return Answer(Page.wanted(self.query).cut(found))

    def get(self, collection: str) -> dict[str, Any]:
        """The record that the path names."""
        return self.records.get(collection, self.path["id"])

    def fields(self, shape: Shape, *, partial: bool = False) -> dict[str, Any]:
        """The body, read by `shape`."""
        values: dict[str, Any] = read(shape, self.body, partial=partial)
        return values

    def create(self, collection: str, prefix: str, values: Mapping[str, Any]) -> "Answer":
        """Store a new record."""
        times = {"created_at": stamp(self.now), "updated_at": stamp(self.now)}
        body = {"id": f"{prefix}_{secrets.token_hex(_ID_BYTES)}", **values, **times}
        return Answer(self.records.put(collection, body), status=201)

    def update(self, collection: str, changes: Mapping[str, Any]) -> "Answer":
        """Change the record that the path names."""
        body = {**self.get(collection), **changes, "updated_at": stamp(self.now)}
        return Answer(self.records.put(collection, body))

    def must_be(self, record: Mapping[str, Any], *statuses: str) -> None:
        """Refuse with a 409 unless `record` has one of `statuses`."""
        if record["status"] not in statuses:
            message = f"It is {record['status']}; this needs it to be {' or '.join(statuses)}."
            raise conflict("wrong_status", message)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation answers; no body with status 204."""

    shown: Mapping[str, Any]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API.

    Attributes:
        method: The HTTP method.
        path: Below `/v2`.
        scope: What the caller needs.
        run: What it does.
    """

    method: str
    path: str
    scope: str
    run: Callable[[Call], Answer]
