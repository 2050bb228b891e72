"""`INSERT … ON CONFLICT DO UPDATE`: one SQL on both databases, two constructs in SQLAlchemy."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Table, TextClause
from sqlalchemy.dialects import postgresql, sqlite

Values = Callable[[Any], Mapping[str, Any]]
"""From the row that was to be inserted (`excluded`) to what the existing one is set to."""


class Upsert:
    """A statement that inserts a row, or changes the one that has the same key."""

    def __init__(
        self, table: Table, key: Sequence[str], values: Values, *, where: TextClause | None = None
    ) -> None:
        lite, post = sqlite.insert(table), postgresql.insert(table)
        self._statements = {
            "sqlite": lite.on_conflict_do_update(
                index_elements=key, index_where=where, set_=dict(values(lite.excluded))
            ),
            "postgresql": post.on_conflict_do_update(
                index_elements=key, index_where=where, set_=dict(values(post.excluded))
            ),
        }

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> CursorResult[Any]:
        """Execute it for every row."""
        return connection.execute(self._statements[connection.dialect.name], rows)


def replacing(*names: str) -> Values:
    """Set the named columns to the values that were to be inserted."""
    return lambda excluded: {name: excluded[name] for name in names}
