"""The first schema."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from credmgr.store.types import Moment

revision = "0001"
down_revision = None

_BIG: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME: Final = sa.String(255)
_WORD: Final = sa.String(32)
_NOT_ENDED: Final = sa.text("state NOT IN ('ABORTED', 'DONE')")
_UNRESOLVED: Final = sa.text("resolved_at IS NULL")
_UNDELIVERED: Final = sa.text("delivered_at IS NULL")

_SQLITE_GUARDS: Final = (
    """
    CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
    """,
    """
    CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
    """,
)
_POSTGRES_GUARDS: Final = (
    """
    CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$
    """,
    """
    CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()
    """,
)


def upgrade() -> None:
    """Make every table."""
    _meta()
    _credentials()
    _versions()
    _rotations()
    _journal()
    _leases()
    _findings()
    _alerts()
    _usage()
    _heartbeats()
    _audit()
    dialect = op.get_bind().dialect.name
    for guard in _SQLITE_GUARDS if dialect == "sqlite" else _POSTGRES_GUARDS:
        op.execute(guard)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _meta() -> None:
    op.create_table("meta", sa.Column("key", _WORD, primary_key=True), _text("value"))


def _credentials() -> None:
    op.create_table(
        "credentials",
        sa.Column("name", _NAME, primary_key=True),
        _text("declaration"),
        sa.Column("status", _WORD, nullable=False),
        sa.Column("applied_at", Moment, nullable=False),
        sa.Column("next_due_at", Moment),
    )
    op.create_index("credentials_due", "credentials", ["next_due_at", "name"])


def _versions() -> None:
    op.create_table(
        "versions",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("credential", _NAME, sa.ForeignKey("credentials.name"), nullable=False),
        _text("secret_id"),
        _text("label"),
        sa.Column("status", _WORD, nullable=False),
        _text("fingerprint"),
        sa.Column("issued_at", Moment, nullable=False),
        sa.Column("expires_at", Moment),
        sa.Column("ended_at", Moment),
    )
    op.create_index("versions_credential", "versions", ["credential", "issued_at"])


def _rotations() -> None:
    op.create_table(
        "rotations",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("credential", _NAME, sa.ForeignKey("credentials.name"), nullable=False),
        sa.Column("trigger", _WORD, nullable=False),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("epoch", _BIG, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("opened_at", Moment, nullable=False),
        sa.Column("entered_at", Moment, nullable=False),
        sa.Column("not_before", Moment, nullable=False),
        sa.Column("new_version", sa.Uuid, nullable=False),
        sa.Column("baseline", sa.Text),
        sa.Column("old_version", sa.Uuid),
        sa.Column("old_secret_id", sa.Text),
        sa.Column("new_secret_id", sa.Text),
        _text("fingerprint"),
        sa.Column("proofs", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("promoting_at", Moment),
        sa.Column("restored_at", Moment),
        sa.Column("overlap_from", Moment),
        sa.Column("disabled_at", Moment),
        sa.Column("request", _WORD, nullable=False),
        sa.Column("parked_from", _WORD),
        _text("reason"),
        _text("waiting"),
        _text("steps"),
        sa.Column("reminded_at", Moment),
    )
    op.create_index("rotations_credential", "rotations", ["credential", "opened_at"])
    op.create_index("rotations_opened", "rotations", ["opened_at"])
    _unique_where("rotations_one_open", "rotations", "credential", _NOT_ENDED)


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("id", _BIG, primary_key=True, autoincrement=True),
        sa.Column("at", Moment, nullable=False),
        sa.Column("rotation", sa.Uuid, sa.ForeignKey("rotations.id"), nullable=False),
        sa.Column("state", _WORD, nullable=False),
        _text("event"),
        _text("text"),
        _text("facts"),
    )
    op.create_index("journal_rotation", "journal", ["rotation", "id"])


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("credential", _NAME, sa.ForeignKey("credentials.name"), primary_key=True),
        _text("owner"),
        sa.Column("epoch", _BIG, nullable=False),
        sa.Column("until", Moment),
    )


def _findings() -> None:
    op.create_table(
        "findings",
        sa.Column("id", _BIG, primary_key=True, autoincrement=True),
        _text("key"),
        sa.Column("severity", _WORD, nullable=False),
        _text("text"),
        sa.Column("opened_at", Moment, nullable=False),
        sa.Column("resolved_at", Moment),
        _text("acknowledged_by"),
    )
    _unique_where("findings_one_open", "findings", "key", _UNRESOLVED)


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Uuid, primary_key=True),
        _text("key"),
        _text("body"),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("deliver_after", Moment, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("delivered_at", Moment),
    )
    _unique_where("alerts_one_pending", "alerts", "key", _UNDELIVERED)
    op.create_index(
        "alerts_pending",
        "alerts",
        ["deliver_after"],
        sqlite_where=_UNDELIVERED,
        postgresql_where=_UNDELIVERED,
    )


def _usage() -> None:
    op.create_table(
        "usage",
        sa.Column("credential", _NAME, primary_key=True),
        sa.Column("consumer", _NAME, primary_key=True),
        sa.Column("version", sa.Uuid, primary_key=True),
        sa.Column("scopes", sa.Text, primary_key=True),
        sa.Column("first_seen", Moment, nullable=False),
        sa.Column("last_seen", Moment, nullable=False),
        sa.Column("count", _BIG, nullable=False),
    )
    op.create_index("usage_version", "usage", ["version", "last_seen"])


def _heartbeats() -> None:
    op.create_table(
        "heartbeats",
        sa.Column("owner", sa.Text, primary_key=True),
        _text("host"),
        sa.Column("pid", sa.Integer, nullable=False),
        _text("version"),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("seen_at", Moment, nullable=False),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("sequence", _BIG, primary_key=True, autoincrement=False),
        sa.Column("at", Moment, nullable=False),
        _text("actor"),
        _text("action"),
        _text("subject"),
        _text("facts"),
        sa.Column("mac", sa.String(64), nullable=False),
    )
    op.create_index("audit_subject", "audit", ["subject", "sequence"])


def _unique_where(name: str, table: str, column: str, where: sa.TextClause) -> None:
    op.create_index(name, table, [column], unique=True, sqlite_where=where, postgresql_where=where)
