"""Feedback may say that an answer is better than that of another event."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what was said before compared nothing."""
    comment = "the event whose answer is liked less, where two were compared"
    op.add_column("feedback", sa.Column("better_than", sa.String(64), nullable=True, comment=comment))
