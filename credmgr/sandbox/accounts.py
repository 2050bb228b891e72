"""The OAuth applications that are registered with the sandbox."""

import secrets
import sqlite3
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self

from credmgr.model.clock import Clock
from credmgr.sandbox.answers import not_found
from credmgr.sandbox.catalogue import ALL_SCOPES, CLIENT_CREDENTIALS, CredentialKind, Environment
from credmgr.sandbox.database import Database, moment, stamp
from credmgr.sandbox.log import EntryKind, GroundTruth, Who

SEEDED_CLIENT_ID: Final = "app_8v3k9m"
_ALPHABET: Final = string.ascii_lowercase + string.digits
_SUFFIX_LENGTH: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What an application shall be."""

    name: str
    description: str = ""
    grant_types: Sequence[str] = (CLIENT_CREDENTIALS,)
    scopes: Sequence[str] = ALL_SCOPES
    environment: Environment = Environment.LIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A registered application."""

    number: int
    client_id: str
    created_at: datetime
    declared: Declaration

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """The application in a row of the table `applications`."""
        declared = Declaration(
            name=row["name"],
            description=row["description"],
            grant_types=tuple(row["grant_types"].split()),
            scopes=tuple(row["scopes"].split()),
            environment=Environment(row["environment"]),
        )
        return cls(
            number=row["number"],
            client_id=row["client_id"],
            created_at=moment(row["created_at"]),
            declared=declared,
        )

    @property
    def who(self) -> Who:
        """The application, for the ground truth."""
        return Who(CredentialKind.OAUTH_CLIENT, self.client_id)

    def as_json(self) -> dict[str, Any]:
        """The application as the management API shows it."""
        return {
            "client_id": self.client_id,
            "name": self.declared.name,
            "description": self.declared.description,
            "grant_types": list(self.declared.grant_types),
            "scopes": list(self.declared.scopes),
            "environment": self.declared.environment,
            "created_at": stamp(self.created_at),
        }


class Applications:
    """Declares and finds applications; every change is in the ground truth."""

    def __init__(self, database: Database, clock: Clock, log: GroundTruth) -> None:
        self._database = database
        self._clock = clock
        self._log = log

    def create(self, declared: Declaration) -> Application:
        """Register an application under a new client id. Never the same twice."""
        suffix = "".join(secrets.choice(_ALPHABET) for _ in range(_SUFFIX_LENGTH))
        return self.declare(f"app_{suffix}", declared)[0]

    def declare(self, client_id: str, declared: Declaration) -> tuple[Application, bool]:
        """Make the application what `declared` says; True when it is new. May be repeated."""
        ordered = replace(declared, scopes=tuple(s for s in ALL_SCOPES if s in declared.scopes))
        with self._database.transaction():
            known = self.find(client_id)
            if known is not None and known.declared == ordered:
                return known, False
            self._write(client_id, ordered)
            written = self.get(client_id)
            detail = " ".join(ordered.scopes)
            self._log.append(EntryKind.APPLICATION_DECLARED, written.who, detail=detail)
            return written, known is None

    def _write(self, client_id: str, declared: Declaration) -> None:
        self._database.write(
            "INSERT INTO applications (client_id, name, description, grant_types, scopes,"
            " environment, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (client_id) DO UPDATE SET name = excluded.name,"
            " description = excluded.description, grant_types = excluded.grant_types,"
            " scopes = excluded.scopes, environment = excluded.environment",
            *(client_id, declared.name, declared.description, " ".join(declared.grant_types)),
            *(" ".join(declared.scopes), declared.environment, stamp(self._clock.now())),
        )

    def find(self, client_id: str) -> Application | None:
        """The application with this client id, or None."""
        row = self._database.row("SELECT * FROM applications WHERE client_id = ?", client_id)
        return Application.of(row) if row else None

    def get(self, client_id: str) -> Application:
        """The application with this client id.

        Raises:
            Refusal: 404, there is none.
        """
        found = self.find(client_id)
        if found is None:
            raise not_found("application")
        return found

    def all(self) -> list[Application]:
        """Every application, oldest first."""
        rows = self._database.rows("SELECT * FROM applications ORDER BY number")
        return [Application.of(row) for row in rows]
