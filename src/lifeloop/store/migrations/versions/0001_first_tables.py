"""The first tables: cycles, runs, verdicts, releases, events, feedback."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "cycles",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("inputs", sa.String(64), nullable=False),
        sa.Column("brief", sa.String(64), nullable=False),
        sa.Column("feedback_until", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("sequence", sa.Integer, nullable=False, unique=True),
        sa.Column("cycle", sa.Integer, nullable=False, index=True),
        sa.Column("stage", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("output", sa.String(64), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
    )
    op.create_table(
        "verdicts",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("sequence", sa.Integer, nullable=False, unique=True),
        sa.Column("cycle", sa.Integer, nullable=False, index=True),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("challenger", sa.String(64), nullable=False),
        sa.Column("champion", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "releases",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(64), nullable=False, index=True),
        sa.Column("verdict", sa.String(64), nullable=False),
        sa.Column("candidate", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("sequence", sequence, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("release", sa.String(64), nullable=False, index=True),
        sa.Column("candidate", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("input", sa.Text, nullable=False),
        sa.Column("output", sa.Text, nullable=False),
        sa.Column("confidence", sa.Float),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("tokens_in", sa.Integer, nullable=False),
        sa.Column("tokens_out", sa.Integer, nullable=False),
        sa.Column("usd", sa.Float, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_table(
        "feedback",
        sa.Column("sequence", sequence, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("rater", sa.String(255), nullable=False),
        sa.Column("rating", sa.Float),
        sa.Column("label", sa.Text),
        sa.Column("comment", sa.Text, nullable=False),
    )
    op.create_index("feedback_event", "feedback", ["event"])
