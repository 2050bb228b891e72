"""Alerts by key, what each channel was told of them, and the messages on their way."""

import sqlalchemy as sa
from alembic import op

from credmgr.store.types import KeyText, Moment

revision = "0004"
down_revision = "0003"

_NAME = sa.String(255)


def upgrade() -> None:
    """Make the tables; what still waited is raised anew."""
    op.drop_index("alerts_one_pending", "alerts")
    op.drop_index("alerts_pending", "alerts")
    op.rename_table("alerts", "alerts_before")
    _alerts()
    _tellings()
    _messages()
    _channels()
    op.execute(
        "INSERT INTO alerts (key, body, digest, open, flaps, changed_at, unrouted)"
        " SELECT key, body, '', true, 0, created_at, created_at FROM alerts_before"
        " WHERE delivered_at IS NULL"
    )
    op.drop_table("alerts_before")


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("key", KeyText, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.Column("flaps", sa.Integer, nullable=False),
        sa.Column("changed_at", Moment, nullable=False),
        sa.Column("ended_at", Moment),
        sa.Column("unrouted", Moment),
        sa.PrimaryKeyConstraint("key", name="alerts_by_key"),
    )
    _index_where("alerts_unrouted", "alerts", "unrouted")
    _index_where("alerts_ended", "alerts", "ended_at")


def _tellings() -> None:
    op.create_table(
        "tellings",
        sa.Column("channel", _NAME, primary_key=True),
        sa.Column("key", KeyText, primary_key=True),
        sa.Column("batch", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("told_at", Moment),
        sa.Column("ready_at", Moment),
        sa.Column("due_at", Moment),
    )
    _index_where("tellings_due", "tellings", "due_at")
    op.create_index("tellings_batch", "tellings", ["channel", "batch"])
    op.create_index("tellings_key", "tellings", ["key"])


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("channel", _NAME, nullable=False),
        sa.Column("batch", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("due_at", Moment),
        sa.Column("attempts", sa.Integer, nullable=False),
    )
    op.create_index("messages_batch", "messages", ["channel", "batch", "created_at"])
    _index_where("messages_due", "messages", "due_at")
    op.create_index("messages_created", "messages", ["created_at"])


def _channels() -> None:
    op.create_table(
        "channels",
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("retry_at", Moment, nullable=False),
        sa.Column("delivered_at", Moment),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("until", Moment, nullable=False),
    )


def _index_where(name: str, table: str, column: str) -> None:
    where = sa.text(f"{column} IS NOT NULL")
    op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)
