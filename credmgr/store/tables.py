"""The tables of the state database. No column holds a secret, sealed or not."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnClause,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    literal_column,
    text,
)

from credmgr.model.copy import Condition
from credmgr.model.credential import CredentialStatus
from credmgr.model.finding import Severity
from credmgr.model.rotation import Request, State, Trigger
from credmgr.model.subject import Topic
from credmgr.model.version import KeyType, VersionStatus
from credmgr.store.types import Facts, KeyText, Lines, Moment, NameText, PlainText, ScopeSet, Words

metadata: Final = MetaData()

NOT_ENDED: Final = "state NOT IN ('ABORTED', 'DONE')"
"""The predicate of the partial index, word by word, or SQLite would not use it."""

_Counter: Final = BigInteger().with_variant(Integer, "sqlite")


def _of_credential(*, primary_key: bool = False) -> Column[str]:
    owner = ForeignKey("credentials.name")
    return Column("credential", NameText, owner, primary_key=primary_key, nullable=False)


def _index_where(name: str, column: str, where: str) -> Index:
    return Index(name, column, sqlite_where=text(where), postgresql_where=text(where))


meta: Final = Table(
    "meta",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("value", Text, nullable=False),
)

credentials: Final = Table(
    "credentials",
    metadata,
    Column("name", NameText, primary_key=True),
    Column("declaration", Text, nullable=False),
    Column("status", Words(CredentialStatus), nullable=False),
    Column("applied_at", Moment, nullable=False),
    Column("next_due_at", Moment),
    Column("next_look_at", Moment),
    Index("credentials_due", "next_due_at", "name"),
    Index("credentials_look", "next_look_at", "name"),
)

versions: Final = Table(
    "versions",
    metadata,
    Column("id", Uuid, primary_key=True),
    _of_credential(),
    Column("secret_id", PlainText, nullable=False),
    Column("label", PlainText, nullable=False),
    Column("status", Words(VersionStatus), nullable=False),
    Column("fingerprint", PlainText, nullable=False),
    Column("issued_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("ended_at", Moment),
    Column("key_type", Words(KeyType)),
    Index("versions_fingerprint", "fingerprint"),
    Index("versions_credential", "credential", "issued_at"),
)

rotations: Final = Table(
    "rotations",
    metadata,
    Column("id", Uuid, primary_key=True),
    _of_credential(),
    Column("trigger", Words(Trigger), nullable=False),
    Column("state", Words(State), nullable=False),
    Column("epoch", _Counter, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("entered_at", Moment, nullable=False),
    Column("not_before", Moment, nullable=False),
    Column("new_version", Uuid, nullable=False),
    Column("baseline", Lines),
    Column("old_version", Uuid),
    Column("old_secret_id", PlainText),
    Column("new_secret_id", PlainText),
    Column("fingerprint", PlainText, nullable=False),
    Column("proofs", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("promoting_at", Moment),
    Column("restored_at", Moment),
    Column("overlap_from", Moment),
    Column("disabled_at", Moment),
    Column("request", Words(Request), nullable=False),
    Column("parked_from", Words(State)),
    Column("reason", PlainText, nullable=False),
    Column("waiting", PlainText, nullable=False),
    Column("steps", Lines, nullable=False),
    Column("reminded_at", Moment),
    Index("rotations_credential", "credential", "opened_at"),
    Index("rotations_opened", "opened_at"),
    Index(
        "rotations_one_open",
        "credential",
        unique=True,
        sqlite_where=text(NOT_ENDED),
        postgresql_where=text(NOT_ENDED),
    ),
)

open_only: Final[ColumnClause[bool]] = literal_column(f"rotations.{NOT_ENDED}", Boolean)

journal: Final = Table(
    "journal",
    metadata,
    Column("id", _Counter, primary_key=True, autoincrement=True),
    Column("at", Moment, nullable=False),
    Column("rotation", Uuid, ForeignKey("rotations.id"), nullable=False),
    Column("state", Words(State), nullable=False),
    Column("event", PlainText, nullable=False),
    Column("text", PlainText, nullable=False),
    Column("facts", Facts, nullable=False),
    Index("journal_rotation", "rotation", "id"),
)

leases: Final = Table(
    "leases",
    metadata,
    _of_credential(primary_key=True),
    Column("owner", PlainText, nullable=False),
    Column("epoch", _Counter, nullable=False),
    Column("until", Moment),
)

copies: Final = Table(
    "copies",
    metadata,
    _of_credential(primary_key=True),
    Column("backend", NameText, primary_key=True),
    Column("name", NameText, primary_key=True),
    Column("condition", Words(Condition), nullable=False),
    Column("version", Uuid),
    Column("since", Moment),
    Column("reason", PlainText, nullable=False),
    Column("token", PlainText, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("repairs", Integer, nullable=False),
    Column("repaired_at", Moment),
    Column("checked_at", Moment),
    Column("look_at", Moment),
    Column("woken", _Counter, nullable=False),
    Column("busy_until", Moment),
    Index("copies_due", "look_at"),
)

token_places: Final = Table(
    "token_places",
    metadata,
    Column("credential", NameText, primary_key=True),
    Column("backend", NameText, primary_key=True),
    Column("name", NameText, primary_key=True),
    Column("owner", PlainText, nullable=False),
    Column("until", Moment, nullable=False),
)

findings: Final = Table(
    "findings",
    metadata,
    Column("id", _Counter, primary_key=True, autoincrement=True),
    Column("key", PlainText, nullable=False),
    Column("severity", Words(Severity), nullable=False),
    Column("text", PlainText, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("resolved_at", Moment),
    Column("acknowledged_by", PlainText, nullable=False),
    Column("rule", PlainText, nullable=False),
    Column("credential", PlainText, nullable=False),
    Column("owner", PlainText, nullable=False),
    Column("environment", PlainText, nullable=False),
    Column("remedy", PlainText, nullable=False),
    Column("source", PlainText, nullable=False),
    Column("snoozed_until", Moment),
    Column("exempt_until", Moment),
    Column("exempted_by", PlainText, nullable=False),
    Column("exempted_why", PlainText, nullable=False),
    Index("findings_credential", "credential", "resolved_at"),
    Index(
        "findings_one_open",
        "key",
        unique=True,
        sqlite_where=text("resolved_at IS NULL"),
        postgresql_where=text("resolved_at IS NULL"),
    ),
)

alerts: Final = Table(
    "alerts",
    metadata,
    Column("key", KeyText, primary_key=True),
    Column("body", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("open", Boolean, nullable=False),
    Column("flaps", Integer, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("unrouted", Moment),
    _index_where("alerts_unrouted", "unrouted", "unrouted IS NOT NULL"),
    _index_where("alerts_ended", "ended_at", "ended_at IS NOT NULL"),
)

tellings: Final = Table(
    "tellings",
    metadata,
    Column("channel", NameText, primary_key=True),
    Column("key", KeyText, primary_key=True),
    Column("batch", PlainText, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("told_at", Moment),
    Column("ready_at", Moment),
    Column("due_at", Moment),
    _index_where("tellings_due", "due_at", "due_at IS NOT NULL"),
    Index("tellings_batch", "channel", "batch"),
    Index("tellings_key", "key"),
)

messages: Final = Table(
    "messages",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("channel", NameText, nullable=False),
    Column("batch", PlainText, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("due_at", Moment),
    Column("attempts", Integer, nullable=False),
    Index("messages_batch", "channel", "batch", "created_at"),
    _index_where("messages_due", "due_at", "due_at IS NOT NULL"),
    Index("messages_created", "created_at"),
)

channels: Final = Table(
    "channels",
    metadata,
    Column("name", NameText, primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("retry_at", Moment, nullable=False),
    Column("delivered_at", Moment),
    Column("why", PlainText, nullable=False),
    Column("owner", PlainText, nullable=False),
    Column("until", Moment, nullable=False),
)

observations: Final = Table(
    "observations",
    metadata,
    Column("credential", NameText, primary_key=True),
    Column("topic", Words(Topic), primary_key=True),
    Column("details", Lines, nullable=False),
    Column("at", Moment, nullable=False),
)

usage: Final = Table(
    "usage",
    metadata,
    Column("credential", NameText, primary_key=True),
    Column("consumer", NameText, primary_key=True),
    Column("version", Uuid, primary_key=True),
    Column("scopes", ScopeSet, primary_key=True),
    Column("first_seen", Moment, nullable=False),
    Column("last_seen", Moment, nullable=False),
    Column("count", _Counter, nullable=False),
    Index("usage_version", "version", "last_seen"),
)

bearers: Final = Table(
    "bearers",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("consumer", NameText, nullable=False),
    Column("issued_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Index("bearers_consumer", "consumer", "issued_at"),
)

purges: Final = Table(
    "purges",
    metadata,
    Column("id", _Counter, primary_key=True, autoincrement=True),
    _of_credential(),
    Column("asked_at", Moment, nullable=False),
    sqlite_autoincrement=True,  # an id that was deleted never comes again
)

purge_receipts: Final = Table(
    "purge_receipts",
    metadata,
    Column("purge", _Counter, ForeignKey("purges.id"), primary_key=True),
    Column("owner", PlainText, primary_key=True),
    Column("at", Moment, nullable=False),
)

heartbeats: Final = Table(
    "heartbeats",
    metadata,
    Column("owner", PlainText, primary_key=True),
    Column("host", PlainText, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", PlainText, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("sequence", _Counter, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("actor", PlainText, nullable=False),
    Column("action", PlainText, nullable=False),
    Column("subject", PlainText, nullable=False),
    Column("facts", Text, nullable=False),
    Column("mac", String(64), nullable=False),
    Index("audit_subject", "subject", "sequence"),
)
