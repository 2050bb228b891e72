"""The secrets that the sandbox has issued: at most two live ones for each credential.

One credential is one OAuth application, or all API keys of one name; both follow the same rules.
Only a SHA-256 of each value is kept: the values are 238 random bits, so nothing slower is needed.
"""

import hashlib
import secrets
import sqlite3
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from credmgr.errors import NoFreeSlot
from credmgr.model.clock import Clock
from credmgr.model.secret import Secret
from credmgr.sandbox.answers import conflict, not_found
from credmgr.sandbox.catalogue import KEY_PREFIXES, CredentialKind, Environment
from credmgr.sandbox.database import Database, moment, stamp
from credmgr.sandbox.log import EntryKind, GroundTruth, Who

MOST_LIVE: Final = 2
CLIENT_SECRET_PREFIX: Final = "cf_secret_"  # noqa: S105
_VALUE_LENGTH: Final = 40
_ID_LENGTH: Final = 14
_VALUE_ALPHABET: Final = string.ascii_letters + string.digits
_ID_ALPHABET: Final = string.ascii_lowercase + string.digits
_ID_PREFIXES: Final = {CredentialKind.API_KEY: "key_", CredentialKind.OAUTH_CLIENT: "sec_"}


class Status(StrEnum):
    """Where a secret is in its life; revoked is for ever."""

    ACTIVE = "active"
    DISABLED = "disabled"
    REVOKED = "revoked"


_ENTRY_KINDS: Final = {
    Status.ACTIVE: EntryKind.SECRET_ENABLED,
    Status.DISABLED: EntryKind.SECRET_DISABLED,
    Status.REVOKED: EntryKind.SECRET_REVOKED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A secret that is wanted.

    Attributes:
        kind: API key or OAuth client secret.
        credential: The name of the key, or the client id.
        label: Free text that finds the secret again in lists.
        environment: Of an API key; an OAuth secret has its application's.
        scopes: Of an API key; an OAuth secret has its application's.
        propagation: How long until the secret is accepted.
        staleness: How long until lists show it.
    """

    kind: CredentialKind
    credential: str
    label: str = ""
    environment: Environment | None = None
    scopes: Sequence[str] = ()
    propagation: timedelta = timedelta()
    staleness: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """One issued secret, without its value.

    Attributes:
        accepted_from: When it begins to log in.
        listed_from: When lists begin to show it.
        rejected_from: When it ceased to log in, or will, by being disabled or revoked.
    """

    number: int
    id: str
    kind: CredentialKind
    credential: str
    label: str
    environment: Environment | None
    scopes: tuple[str, ...]
    status: Status
    last_four: str
    created_at: datetime
    disabled_at: datetime | None
    revoked_at: datetime | None
    accepted_from: datetime
    listed_from: datetime
    rejected_from: datetime | None

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """The secret in a row of the table `secrets`."""
        return cls(
            number=row["number"],
            id=row["id"],
            kind=CredentialKind(row["kind"]),
            credential=row["credential"],
            label=row["label"],
            environment=Environment(row["environment"]) if row["environment"] else None,
            scopes=tuple(row["scopes"].split()),
            status=Status(row["status"]),
            last_four=row["last_four"],
            created_at=moment(row["created_at"]),
            disabled_at=_moment_or_none(row["disabled_at"]),
            revoked_at=_moment_or_none(row["revoked_at"]),
            accepted_from=moment(row["accepted_from"]),
            listed_from=moment(row["listed_from"]),
            rejected_from=_moment_or_none(row["rejected_from"]),
        )

    @property
    def who(self) -> Who:
        """Whose secret it is, for the ground truth."""
        return Who(self.kind, self.credential, self.id, self.label)

    def accepted(self, now: datetime) -> bool:
        """Whether it logs in at `now`; a fault may delay both the beginning and the end."""
        ended = self.rejected_from is not None and now >= self.rejected_from
        return now >= self.accepted_from and not ended

    def as_json(self) -> dict[str, Any]:
        """The secret as the management API shows it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "label": self.label,
            "status": self.status,
            "last_four": self.last_four,
            "created_at": stamp(self.created_at),
            "disabled_at": stamp(self.disabled_at) if self.disabled_at else None,
            "revoked_at": stamp(self.revoked_at) if self.revoked_at else None,
        }
        if self.kind is CredentialKind.OAUTH_CLIENT:
            return {**shown, "client_id": self.credential}
        more = {"environment": self.environment, "scopes": list(self.scopes)}
        return {**shown, "name": self.credential, **more}


class IssuedSecrets:
    """Creates, finds and ends secrets; every change is in the ground truth."""

    def __init__(self, database: Database, clock: Clock, log: GroundTruth) -> None:
        self._database = database
        self._clock = clock
        self._log = log

    def create(self, order: Order) -> tuple[Issued, Secret]:
        """Issue a secret; its value is in the answer and nowhere else. Never the same twice.

        Raises:
            NoFreeSlot: The credential has two live secrets already.
        """
        with self._database.transaction():
            if len(self.of(order.kind, order.credential, revoked=False)) >= MOST_LIVE:
                raise NoFreeSlot(
                    f"This credential has {MOST_LIVE} live secrets; revoke one before creating one."
                )
            value = _new_value(order)
            issued = self.get(self._insert(order, value))
            self._log.append(EntryKind.SECRET_CREATED, issued.who)
            return issued, value

    def _insert(self, order: Order, value: Secret) -> str:
        now = self._clock.now()
        secret_id = _ID_PREFIXES[order.kind] + _random(_ID_ALPHABET, _ID_LENGTH)
        self._database.write(
            "INSERT INTO secrets (id, kind, credential, label, environment, scopes, digest,"
            " last_four, status, created_at, accepted_from, listed_from)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(secret_id, order.kind, order.credential, order.label, order.environment),
            *(" ".join(order.scopes), _digest(value.reveal()), value.reveal()[-4:], Status.ACTIVE),
            *(stamp(now), stamp(now + order.propagation), stamp(now + order.staleness)),
        )
        return secret_id

    def get(self, secret_id: str) -> Issued:
        """The secret with this id.

        Raises:
            Refusal: 404, there is none.
        """
        row = self._database.row("SELECT * FROM secrets WHERE id = ?", secret_id)
        if row is None:
            raise not_found("secret")
        return Issued.of(row)

    def find(self, value: str) -> Issued | None:
        """The secret with this value, whatever its status."""
        row = self._database.row("SELECT * FROM secrets WHERE digest = ?", _digest(value))
        return Issued.of(row) if row else None

    def of(
        self, kind: CredentialKind, credential: str | None = None, *, revoked: bool
    ) -> list[Issued]:
        """The secrets of one credential, or of all of a kind, oldest first; with `revoked`, all."""
        rows = self._database.rows(
            "SELECT * FROM secrets WHERE kind = ?1 AND (?2 IS NULL OR credential = ?2)"
            " AND (?3 OR status <> 'revoked') ORDER BY number",
            *(kind, credential, int(revoked)),
        )
        return [Issued.of(row) for row in rows]

    def live(self) -> list[Issued]:
        """Every secret that is not revoked, of every credential, whatever lists may show."""
        rows = self._database.rows(
            "SELECT * FROM secrets WHERE status <> 'revoked' ORDER BY number"
        )
        return [Issued.of(row) for row in rows]

    def change(self, secret: Issued, to: Status, delay: timedelta = timedelta()) -> Issued:
        """Enable, disable or revoke; may be repeated, and a repetition changes nothing.

        Args:
            secret: The secret as it is now.
            to: What it becomes.
            delay: How much longer it is still accepted.

        Raises:
            Refusal: 409, a revoked secret comes back by nothing.
        """
        if secret.status is to or (secret.status is Status.REVOKED and to is Status.DISABLED):
            return secret
        if secret.status is Status.REVOKED:
            raise conflict("secret_revoked", "The secret is revoked, which is for ever.")
        with self._database.transaction():
            self._set_status(secret, to, self._clock.now(), delay)
            self._log.append(_ENTRY_KINDS[to], secret.who)
            return self.get(secret.id)

    def _set_status(self, secret: Issued, to: Status, now: datetime, delay: timedelta) -> None:
        if to is Status.ACTIVE:
            self._database.write(
                "UPDATE secrets SET status = ?, disabled_at = NULL, rejected_from = NULL"
                " WHERE id = ?",
                *(to, secret.id),
            )
            return
        # A second blow never lengthens a life: the earlier end stands.
        end = min(now + delay, secret.rejected_from or now + delay)
        disabled_at = now if to is Status.DISABLED else secret.disabled_at
        revoked_at = now if to is Status.REVOKED else None
        self._database.write(
            "UPDATE secrets SET status = ?, disabled_at = ?, revoked_at = ?, rejected_from = ?"
            " WHERE id = ?",
            *(to, stamp(disabled_at) if disabled_at else None),
            *(stamp(revoked_at) if revoked_at else None, stamp(end), secret.id),
        )


def _new_value(order: Order) -> Secret:
    prefix = KEY_PREFIXES[order.environment] if order.environment else CLIENT_SECRET_PREFIX
    return Secret(prefix + _random(_VALUE_ALPHABET, _VALUE_LENGTH))


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _moment_or_none(text: str | None) -> datetime | None:
    return moment(text) if text else None
