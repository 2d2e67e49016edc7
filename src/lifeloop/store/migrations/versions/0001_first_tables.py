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
        sa.Column("inputs", sa.String(64), nullable=False, comment="hash of what the cycle works on"),
        sa.Column("brief", sa.String(64), nullable=False, comment="vault id of the brief's text"),
        sa.Column("feedback_until", sa.BigInteger, nullable=False, comment="feedback.sequence up to which it learns"),
        sa.Column("at", sa.Float, nullable=False, comment="seconds since the epoch, UTC"),
    )
    op.create_table(
        "runs",
        sa.Column("key", sa.String(64), primary_key=True, comment="hash of stage, inputs, section and version"),
        sa.Column("sequence", sa.Integer, nullable=False, unique=True),
        sa.Column("cycle", sa.Integer, nullable=False, index=True, comment="the cycle that ran it first"),
        sa.Column("stage", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False, comment="the candidate, split or suite it was about"),
        sa.Column("inputs", sa.Text, nullable=False, comment="JSON: name to id"),
        sa.Column("output", sa.String(64), nullable=False, comment="vault id of what came out"),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("version", sa.String(32), nullable=False, comment="lifeloop version"),
    )
    op.create_table(
        "verdicts",
        sa.Column("id", sa.String(64), primary_key=True, comment="vault id of the verdict"),
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
        sa.Column(
            "sequence", sa.Integer, primary_key=True, autoincrement=False, comment="the highest is in production"
        ),
        sa.Column("id", sa.String(64), nullable=False, index=True, comment="vault id of the release"),
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
