"""Wishes that tokens be dropped everywhere, and who has done so."""

import sqlalchemy as sa
from alembic import op

from credmgr.store.types import Moment

revision = "0003"
down_revision = "0002"

_Counter = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "purges",
        sa.Column("id", _Counter, primary_key=True, autoincrement=True),
        sa.Column("credential", sa.String(255), sa.ForeignKey("credentials.name"), nullable=False),
        sa.Column("asked_at", Moment, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "purge_receipts",
        sa.Column("purge", _Counter, sa.ForeignKey("purges.id"), primary_key=True),
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("at", Moment, nullable=False),
    )
