"""Questions about many names at once: one parameter, however many there are, on both databases."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    String,
    bindparam,
    cast,
    func,
    select,
)

Among: TypeAlias = Callable[[Column[Any]], ColumnElement[bool]]
"""From a column to the condition that it is one of the names."""


class ByNames:
    """A question about rows whose column is one of some names.

    `column IN (?, ?, …)` would be compiled anew, and each name bound apart; a sweep asks five such
    questions of every five hundred credentials.
    """

    def __init__(self, build: Callable[[Among], Any]) -> None:
        self._statements = {
            dialect: build(partial(_among, dialect)) for dialect in ("sqlite", "postgresql")
        }

    def run(self, connection: Connection, names: Iterable[str], **values: Any) -> Any:
        """Ask it."""
        given = {"b_names": json.dumps(list(names)), **values}
        return connection.execute(self._statements[connection.dialect.name], given)


def _among(dialect: str, column: Column[Any]) -> ColumnElement[bool]:
    names = bindparam("b_names", type_=String)
    if dialect == "sqlite":
        each = func.json_each(names).table_valued("value")
        return column.in_(select(each.c.value))
    return column.in_(select(func.json_array_elements_text(cast(names, JSON(none_as_null=True)))))
