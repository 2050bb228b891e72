"""When a rule looks next, what rules and people say of a finding, and what was seen outside."""

import sqlalchemy as sa
from alembic import op

from credmgr.store.types import Moment

revision = "0005"
down_revision = "0004"

_ACTIVE_NOW = "UPDATE credentials SET next_look_at = applied_at WHERE status = 'active'"
_TEXTS = (
    "rule",
    "credential",
    "owner",
    "environment",
    "remedy",
    "source",
    "exempted_by",
    "exempted_why",
)


def upgrade() -> None:
    """Add the columns, the indexes and the table."""
    op.add_column("credentials", sa.Column("next_look_at", Moment))
    op.execute(_ACTIVE_NOW)
    op.create_index("credentials_look", "credentials", ["next_look_at", "name"])
    op.add_column("versions", sa.Column("key_type", sa.String(32)))
    op.create_index("versions_fingerprint", "versions", ["fingerprint"])
    for name in _TEXTS:
        op.add_column("findings", sa.Column(name, sa.Text, nullable=False, server_default=""))
    for name in ("snoozed_until", "exempt_until"):
        op.add_column("findings", sa.Column(name, Moment))
    op.create_index("findings_credential", "findings", ["credential", "resolved_at"])
    op.create_table(
        "observations",
        sa.Column("credential", sa.String(255), primary_key=True),
        sa.Column("topic", sa.String(32), primary_key=True),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("at", Moment, nullable=False),
    )
