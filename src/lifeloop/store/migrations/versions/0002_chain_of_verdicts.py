"""Verdicts form a chain of hashes, and say who promoted against the gate. Rows that are there are chained in order."""

import sqlalchemy as sa
from alembic import op

from lifeloop.store.chain import START, chained

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = {
    "override_by": (sa.String(255), "who promoted it against the gate, or empty"),
    "previous": (sa.String(64), "hash of the row before; empty for the first"),
    "hash": (sa.String(64), "SHA-256 of the hash before and this row (store/chain.py)"),
}


def upgrade() -> None:
    """Add the columns, chain the rows, and then allow no row without."""
    for name, (kind, comment) in COLUMNS.items():
        op.add_column("verdicts", sa.Column(name, kind, nullable=True, comment=comment))
    _chain(op.get_bind())
    with op.batch_alter_table("verdicts") as table:
        for name, (kind, _) in COLUMNS.items():
            table.alter_column(name, existing_type=kind, nullable=False)


def _chain(connection: sa.Connection) -> None:
    verdicts = sa.Table("verdicts", sa.MetaData(), autoload_with=connection)
    previous = START
    for found in connection.execute(sa.select(verdicts).order_by(verdicts.c.sequence)).mappings().all():
        row = dict(found) | {"override_by": ""}
        values = {"override_by": "", "previous": previous, "hash": chained(previous, row)}
        connection.execute(sa.update(verdicts).where(verdicts.c.sequence == row["sequence"]).values(values))
        previous = values["hash"]
