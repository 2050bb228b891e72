"""What is known of each copy of a secret."""

import sqlalchemy as sa
from alembic import op

from credmgr.store import codec
from credmgr.store.types import Moment, NameText

revision = "0006"
down_revision = "0005"

_NAME = sa.String(255)
_Counter = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table, with a row for every copy that is declared."""
    table = op.create_table(
        "copies",
        sa.Column("credential", _NAME, sa.ForeignKey("credentials.name"), primary_key=True),
        sa.Column("backend", _NAME, primary_key=True),
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("condition", sa.String(32), nullable=False),
        sa.Column("version", sa.Uuid),
        sa.Column("since", Moment),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("repairs", sa.Integer, nullable=False),
        sa.Column("repaired_at", Moment),
        sa.Column("checked_at", Moment),
        sa.Column("look_at", Moment),
        sa.Column("woken", _Counter, nullable=False),
        sa.Column("busy_until", Moment),
    )
    op.create_index("copies_due", "copies", ["look_at"])
    known = sa.table(
        "credentials",
        sa.column("name", NameText),
        sa.column("declaration", sa.Text),
        sa.column("applied_at", Moment),
    )
    for row in op.get_bind().execute(sa.select(known)).all():
        places = codec.credential(row.declaration).places
        op.bulk_insert(table, [_row(row, place.backend, place.name) for place in places])


def _row(credential: sa.Row[tuple[object, ...]], backend: str, name: str) -> dict[str, object]:
    return {
        "credential": credential.name,
        "backend": backend,
        "name": name,
        "condition": "unseen",
        "reason": "",
        "token": "",
        "failures": 0,
        "repairs": 0,
        "look_at": credential.applied_at,
        "woken": 0,
    }
