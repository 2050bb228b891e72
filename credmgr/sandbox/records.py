"""CaseForge's business data: JSON records in collections, once for each of the two worlds."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from credmgr.sandbox.answers import not_found
from credmgr.sandbox.catalogue import Environment
from credmgr.sandbox.database import Database


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `body` has its `id`."""

    number: int
    body: dict[str, Any]

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """The record in a row of the table `records`."""
        return cls(row["number"], json.loads(row["body"]))

    def as_json(self) -> dict[str, Any]:
        """The record as the API shows it."""
        return self.body


class Records:
    """The records of one world."""

    def __init__(self, database: Database, environment: Environment) -> None:
        self._database = database
        self._environment = environment

    def all(self, collection: str) -> list[Record]:
        """Every record of a collection, oldest first."""
        rows = self._database.rows(
            "SELECT * FROM records WHERE environment = ? AND collection = ? ORDER BY number",
            *(self._environment, collection),
        )
        return [Record.of(row) for row in rows]

    def get(self, collection: str, record_id: str) -> dict[str, Any]:
        """The record with this id.

        Raises:
            Refusal: 404, this world has none.
        """
        row = self._database.row(
            "SELECT * FROM records WHERE environment = ? AND collection = ? AND id = ?",
            *(self._environment, collection, record_id),
        )
        if row is None:
            raise not_found(collection.removesuffix("s").replace("_", " "))
        return Record.of(row).body

    def put(self, collection: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Store a record under its `id`, in place of one that is there."""
        self._database.write(
            "INSERT INTO records (environment, collection, id, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET body = excluded.body",
            *(self._environment, collection, body["id"], json.dumps(body)),
        )
        return dict(body)

    def delete(self, collection: str, record_id: str) -> None:
        """Remove a record.

        Raises:
            Refusal: 404, this world has none.
        """
        self.get(collection, record_id)
        self._database.write(
            "DELETE FROM records WHERE environment = ? AND collection = ? AND id = ?",
            *(self._environment, collection, record_id),
        )
