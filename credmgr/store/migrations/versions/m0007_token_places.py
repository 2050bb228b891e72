"""Where tokens are kept for consumers that can only read there."""

import sqlalchemy as sa
from alembic import op

from credmgr.store.types import Moment

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "token_places",
        sa.Column("credential", sa.String(255), primary_key=True),
        sa.Column("backend", sa.String(255), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("until", Moment, nullable=False),
    )
