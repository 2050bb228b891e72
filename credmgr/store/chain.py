"""The audit chain: how a record is sealed to the one before it, appended, and checked.

    mac(n) = HMAC-SHA256(key, [domain, mac(n-1), n, at, actor, action, subject, facts])

The list is canonical JSON, so no two records have the same text. `mac(0)` is a constant. Whoever
has the database but not the key can destroy records, but cannot forge, edit, drop or reorder one
without the chain showing it; only a cut tail needs a checkpoint kept elsewhere.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, RowMapping, insert, select

from credmgr.errors import AuditBroken, StateError
from credmgr.model.audit import AuditRecord, Checkpoint, Event
from credmgr.store.codec import canonical, moment_text, plain_text, utc
from credmgr.store.tables import audit, meta

KEY_ROW: Final = "audit_key"
"""The row of `meta` that names the key; locked to append."""

_DOMAIN: Final = "credmgr.audit.record.1"
_KEY_DOMAIN: Final = "credmgr.audit.key.1"
_BEFORE_FIRST: Final = "0" * 64
_KEY_ID_HEX: Final = 16

_LOCK: Final = select(meta.c.value).where(meta.c.key == KEY_ROW).with_for_update()
_KEY: Final = select(meta.c.value).where(meta.c.key == KEY_ROW)
_HEAD: Final = (
    select(audit.c.sequence, audit.c.mac, audit.c.at).order_by(audit.c.sequence.desc()).limit(1)
)
_APPEND: Final = insert(audit)
_ALL: Final = select(audit).order_by(audit.c.sequence)
_BATCH: Final = 1000


class Break(StrEnum):
    """How a chain can be broken."""

    EDITED = "edited"
    DELETED = "deleted"
    REORDERED = "reordered"
    REWRITTEN = "rewritten"
    CUT = "cut off"
    UNKNOWN_KEY = "sealed with a key that is not ours"


def key_id(key: bytes) -> str:
    """What names a key without giving it away."""
    return hmac.new(key, _KEY_DOMAIN.encode(), hashlib.sha256).hexdigest()[:_KEY_ID_HEX]


def check_key(connection: Connection, key: bytes) -> None:
    """Make sure that the chain is sealed with `key`.

    Raises:
        AuditBroken: It is not.
    """
    _known(connection.execute(_KEY).scalar_one_or_none(), key)


def append(connection: Connection, key: bytes, at: datetime, events: Sequence[Event]) -> None:
    """Seal and insert records; holds the chain's head until the transaction ends.

    Raises:
        AuditBroken: The chain is sealed with another key.
    """
    if not events:
        return
    _known(connection.execute(_LOCK).scalar_one_or_none(), key)
    newest = connection.execute(_HEAD).one_or_none()
    sequence, mac = (newest.sequence, newest.mac) if newest else (0, _BEFORE_FIRST)
    rows = []
    for event in events:
        sequence += 1
        row = _row(sequence, at, event)
        mac = _mac(key, mac, sequence, row)
        rows.append(row | {"mac": mac})
    connection.execute(_APPEND, rows)


def head(connection: Connection, at: datetime) -> Checkpoint:
    """The newest record's place and mac; sequence 0 while there is none."""
    newest = connection.execute(_HEAD).one_or_none()
    if newest is None:
        return Checkpoint(sequence=0, mac=_BEFORE_FIRST, at=utc(at))
    return Checkpoint(sequence=newest.sequence, mac=newest.mac, at=newest.at)


def length(connection: Connection) -> int:
    """How many records there are."""
    newest = connection.execute(_HEAD).one_or_none()
    return newest.sequence if newest else 0


def record_of(row: Row[Any]) -> AuditRecord:
    """A record from its row.

    Raises:
        StateError: Its facts are not readable.
    """
    try:
        facts = json.loads(row.facts)
    except ValueError as error:
        raise StateError(f"audit record {row.sequence} is damaged") from error
    event = Event(actor=row.actor, action=row.action, subject=row.subject, facts=facts)
    return AuditRecord(sequence=row.sequence, at=row.at, event=event, mac=row.mac)


def verify(
    connection: Connection, key: bytes, checkpoint: Checkpoint | None, now: datetime
) -> Checkpoint:
    """Walk the whole chain and return its head.

    Raises:
        AuditBroken: At the first record that is not what was written there; the message says which
            and how.
    """
    check_key(connection, key)
    mac, sequence, at = _BEFORE_FIRST, 0, utc(now)
    with connection.execute(_ALL, execution_options={"yield_per": _BATCH}) as rows:
        for row in _readable(rows.mappings()):
            sequence += 1
            if row["sequence"] != sequence:
                raise _broken(sequence, Break.DELETED)
            if not _sealed(key, mac, sequence, row):
                raise _broken(sequence, _how(connection, key, mac, sequence))
            mac, at = row["mac"], row["at"]
            if checkpoint and checkpoint.sequence == sequence and checkpoint.mac != mac:
                raise _broken(sequence, Break.REWRITTEN)
    if checkpoint and checkpoint.sequence > sequence:
        raise _broken(sequence + 1, Break.CUT)
    return Checkpoint(sequence, mac, at)


def _known(found: str | None, key: bytes) -> None:
    if found is None or not hmac.compare_digest(found, key_id(key)):
        raise _broken(1, Break.UNKNOWN_KEY)


def _broken(sequence: int, how: Break) -> AuditBroken:
    hint = {
        Break.UNKNOWN_KEY: "use the keyring that this state database was made with",
        Break.CUT: "records that the checkpoint has seen are gone, as after restoring a backup",
    }.get(how, "somebody changed the database by hand; keep it as evidence")
    return AuditBroken(f"audit record {sequence}: {how}", hint=hint)


def _row(sequence: int, at: datetime, event: Event) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "at": utc(at),
        "actor": plain_text(event.actor),
        "action": plain_text(event.action),
        "subject": plain_text(event.subject),
        "facts": canonical({name: plain_text(fact) for name, fact in event.facts.items()}),
    }


def _mac(key: bytes, before: str, sequence: int, row: Mapping[Any, Any]) -> str:
    """The mac of a row at a place; over the text of `facts` as stored, not as parsed."""
    said = [row[name] for name in ("actor", "action", "subject", "facts")]
    text = canonical([_DOMAIN, before, sequence, moment_text(row["at"]), *said])
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _sealed(key: bytes, before: str, sequence: int, row: RowMapping) -> bool:
    return hmac.compare_digest(row["mac"], _mac(key, before, sequence, row))


def _readable(rows: Iterable[RowMapping]) -> Iterable[RowMapping]:
    """The rows; one whose columns cannot even be read was edited."""
    last = 0
    try:
        for row in rows:
            last = row["sequence"]
            yield row
    except (ValueError, TypeError) as error:
        raise _broken(last + 1, Break.EDITED) from error


def _how(connection: Connection, key: bytes, before: str, sequence: int) -> Break:
    """Whether the record that belongs here lies somewhere else, with or without its own mac."""
    rows = connection.execute(_ALL).mappings().all()
    here = rows[sequence - 1]["mac"]
    for row in rows:
        if _mac(key, before, sequence, row) in {row["mac"], here}:
            return Break.REORDERED
    return Break.EDITED
