"""Access tokens: JWTs signed with ES256 under a key that outlives the process.

A token lives until it expires, is revoked (RFC 7009), or, when the sandbox is set up so, until the
secret that minted it is no longer accepted. `iss` is not checked: the signing key belongs to this
one database, and a sandbox that comes back on another port must go on accepting what it signed.
"""

import json
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from credmgr.model.clock import Clock
from credmgr.model.secret import Secret
from credmgr.sandbox.database import Database, moment, stamp
from credmgr.sandbox.issued import Issued
from credmgr.sandbox.log import EntryKind, GroundTruth, Who

ALGORITHM: Final = "ES256"
_KEPT_AFTER_EXPIRY: Final = timedelta(days=1)
_TOKEN_ID_BYTES: Final = 16
_LONGEST_TOKEN: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What an access token stands for, without the token.

    Attributes:
        id: The token's `jti`.
        secret_id: The secret that it was minted with.
    """

    id: str
    secret_id: str
    client_id: str
    scopes: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """The grant in a row of the table `tokens`."""
        return cls(
            id=row["id"],
            secret_id=row["secret_id"],
            client_id=row["client_id"],
            scopes=tuple(row["scopes"].split()),
            issued_at=moment(row["issued_at"]),
            expires_at=moment(row["expires_at"]),
            revoked_at=moment(row["revoked_at"]) if row["revoked_at"] else None,
        )


class Tokens:
    """Signs, recognises and revokes access tokens; every change is in the ground truth."""

    def __init__(
        self, database: Database, clock: Clock, log: GroundTruth, lifetime: timedelta
    ) -> None:
        self._database = database
        self._clock = clock
        self._log = log
        self._lifetime = lifetime
        self._key = _signing_key(database)

    def public_keys(self) -> dict[str, Any]:
        """The JSON Web Key Set (RFC 7517 §5) that verifies our tokens."""
        return {"keys": [self._key.as_dict(private=False)]}

    def issue(self, secret: Issued, scopes: Sequence[str], issuer: str) -> tuple[Grant, Secret]:
        """Sign a token; its value is in the answer and nowhere else."""
        now = self._clock.now().replace(microsecond=0)
        grant = Grant(
            id=secrets.token_urlsafe(_TOKEN_ID_BYTES),
            secret_id=secret.id,
            client_id=secret.credential,
            scopes=tuple(scopes),
            issued_at=now,
            expires_at=now + self._lifetime,
        )
        self._record(grant, secret.who)
        claims = {"iss": issuer, "sub": grant.client_id, **claims_of(grant)}
        # RFC 9068 §2.1: the type keeps an access token from passing for another kind of JWT.
        header = {"alg": ALGORITHM, "kid": self._key.kid, "typ": "at+jwt"}
        return grant, Secret(jwt.encode(header, claims, self._key, algorithms=[ALGORITHM]))

    def _record(self, grant: Grant, who: Who) -> None:
        with self._database.transaction():
            forgotten = stamp(grant.issued_at - _KEPT_AFTER_EXPIRY)
            self._database.write("DELETE FROM tokens WHERE expires_at < ?", forgotten)
            self._database.write(
                "INSERT INTO tokens (id, secret_id, client_id, scopes, issued_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                *(grant.id, grant.secret_id, grant.client_id, " ".join(grant.scopes)),
                *(stamp(grant.issued_at), stamp(grant.expires_at)),
            )
            detail = f"{grant.id} {' '.join(grant.scopes)}"
            self._log.append(EntryKind.TOKEN_ISSUED, who, detail=detail)

    def find(self, token: str) -> Grant | None:
        """What `token` stands for, even when expired or revoked; None when we did not sign it."""
        if len(token) > _LONGEST_TOKEN:
            return None
        try:
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError):
            return None
        row = self._database.row("SELECT * FROM tokens WHERE id = ?", str(claims.get("jti")))
        return Grant.of(row) if row else None

    def revoke(self, grant: Grant, who: Who) -> None:
        """End a token now, for `who`; may be repeated."""
        with self._database.transaction():
            self._database.write(
                "UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL",
                *(stamp(self._clock.now()), grant.id),
            )
            self._log.append(EntryKind.TOKEN_REVOKED, who, detail=grant.id)


def claims_of(grant: Grant) -> dict[str, Any]:
    """The claims that a token and its introspection share (RFC 7519 §4.1, RFC 8693 §4)."""
    return {
        "client_id": grant.client_id,
        "scope": " ".join(grant.scopes),
        "iat": int(grant.issued_at.timestamp()),
        "exp": int(grant.expires_at.timestamp()),
        "jti": grant.id,
    }


def _signing_key(database: Database) -> ECKey:
    with database.transaction():
        row = database.row("SELECT value FROM settings WHERE name = 'signing-key'")
        if row is not None:
            return ECKey.import_key(json.loads(row["value"]))
        key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
        database.write(
            "INSERT INTO settings (name, value) VALUES ('signing-key', ?)",
            json.dumps(key.as_dict(private=True)),
        )
        return key
