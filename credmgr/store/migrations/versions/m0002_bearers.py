"""By which bearers consumers are let in: hashes only."""

import sqlalchemy as sa
from alembic import op

from credmgr.store.types import Moment

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "bearers",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("consumer", sa.String(255), nullable=False),
        sa.Column("issued_at", Moment, nullable=False),
        sa.Column("expires_at", Moment),
    )
    op.create_index("bearers_consumer", "bearers", ["consumer", "issued_at"])
