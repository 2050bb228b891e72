"""The ground truth: every accepted call that changed something or that somebody logged in with."""

import sqlite3
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from credmgr.model.clock import Clock
from credmgr.sandbox.catalogue import CredentialKind
from credmgr.sandbox.database import Database, moment, stamp

OK: Final = "ok"
_TRIM_EVERY: Final = 1000


class EntryKind(StrEnum):
    """What happened."""

    APPLICATION_DECLARED = "application-declared"
    SECRET_CREATED = "secret-created"  # noqa: S105
    SECRET_DISABLED = "secret-disabled"  # noqa: S105
    SECRET_ENABLED = "secret-enabled"  # noqa: S105
    SECRET_REVOKED = "secret-revoked"  # noqa: S105
    TOKEN_ISSUED = "token-issued"  # noqa: S105
    TOKEN_REFUSED = "token-refused"  # noqa: S105
    TOKEN_INSPECTED = "token-inspected"  # noqa: S105
    TOKEN_REVOKED = "token-revoked"  # noqa: S105
    CLIENT_REFUSED = "client-refused"
    API_ACCEPTED = "api-accepted"
    API_DENIED = "api-denied"
    API_REFUSED = "api-refused"


@dataclass(frozen=True, slots=True)
class Who:
    """Whose secret it was; its value is never part of it.

    Attributes:
        kind: API key or OAuth client.
        credential: The client id, or the name of the key.
        secret_id: The issuer's id of the one secret, or None when only the credential is known.
        label: What the secret was labelled with when it was created.
    """

    kind: CredentialKind
    credential: str
    secret_id: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the ground truth.

    Attributes:
        seq: Rises by one with every entry, across restarts.
        time: When, zone UTC.
        kind: What happened.
        who: Whose secret, as far as known.
        outcome: "ok", or the error code that was answered.
        detail: The route, scopes or token id concerned; never a value.
    """

    seq: int
    time: datetime
    kind: EntryKind
    who: Who | None
    outcome: str
    detail: str

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """The entry in a row of the table `log`."""
        who = None
        if row["credential_kind"]:
            kind = CredentialKind(row["credential_kind"])
            who = Who(kind, row["credential"], row["secret_id"], row["label"])
        return cls(
            seq=row["seq"],
            time=moment(row["time"]),
            kind=EntryKind(row["kind"]),
            who=who,
            outcome=row["outcome"],
            detail=row["detail"],
        )

    def as_json(self) -> dict[str, Any]:
        """The entry as the management API shows it."""
        return {
            "seq": self.seq,
            "time": stamp(self.time),
            "kind": self.kind,
            "credential_kind": self.who.kind if self.who else None,
            "credential": self.who.credential if self.who else None,
            "secret_id": self.who.secret_id if self.who else None,
            "label": self.who.label if self.who else None,
            "outcome": self.outcome,
            "detail": self.detail,
        }


_noted: ContextVar[list[Entry] | None] = ContextVar("noted", default=None)


def listen() -> list[Entry]:
    """From now on, what this task appends to any ground truth also lands in the list returned."""
    heard: list[Entry] = []
    _noted.set(heard)
    return heard


class GroundTruth:
    """The log itself, in the transaction of what it records; safe to read from any thread."""

    def __init__(self, database: Database, clock: Clock, keep: int) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep

    def append(
        self, kind: EntryKind, who: Who | None, *, outcome: str = OK, detail: str = ""
    ) -> Entry:
        """Write down what just happened."""
        now = self._clock.now()
        about = (who.kind, who.credential, who.secret_id, who.label) if who else (None,) * 4
        seq = self._database.write(
            "INSERT INTO log (time, kind, credential_kind, credential, secret_id, label, outcome,"
            " detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(stamp(now), kind, *about, outcome, detail),
        )
        if seq % _TRIM_EVERY == 0:
            self._database.write("DELETE FROM log WHERE seq <= ?", seq - self._keep)
        entry = Entry(seq=seq, time=now, kind=kind, who=who, outcome=outcome, detail=detail)
        heard = _noted.get()
        if heard is not None:
            heard.append(entry)
        return entry

    def entries(self, after: int = 0, limit: int | None = None) -> list[Entry]:
        """The entries with a sequence number above `after`, oldest first, at most `limit`."""
        found = self._database.rows(
            "SELECT * FROM log WHERE seq > ? ORDER BY seq LIMIT ?",
            after,
            -1 if limit is None else limit,
        )
        return [Entry.of(row) for row in found]
