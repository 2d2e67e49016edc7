"""Rollouts, API keys, and whom an event was for."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and tables. Events of before were shown to people, and nobody asked for keys."""
    for name, size, comment in (
        ("shadow_of", 64, "the event that it answers unseen"),
        ("user_key", 64, "hash of the sender's user key"),
        ("api_key", 32, "id of the API key that asked"),
    ):
        op.add_column(
            "events", sa.Column(name, sa.String(size), nullable=False, server_default=sa.text("''"), comment=comment)
        )
    op.create_index("events_at", "events", ["at"])
    shadows = sa.text("shadow_of != ''")
    op.create_index("events_shadow_of", "events", ["shadow_of"], sqlite_where=shadows, postgresql_where=shadows)
    op.create_table(
        "rollouts",
        sa.Column(
            "sequence", sa.Integer, primary_key=True, autoincrement=False, comment="the highest is how things stand"
        ),
        sa.Column(
            "release", sa.String(64), nullable=False, comment="vault id of the release on its way to all traffic"
        ),
        sa.Column("control", sa.String(64), nullable=False, comment="id of the release in production meanwhile"),
        sa.Column("strategy", sa.String(16), nullable=False, comment="direct, shadow, canary or ab"),
        sa.Column("phase", sa.String(16), nullable=False, comment="running, promoted or rolled_back"),
        sa.Column("step", sa.Integer, nullable=False, comment="which of its steps, from 0"),
        sa.Column("share", sa.Float, nullable=False, comment="of the traffic that it gets"),
        sa.Column("settings", sa.Text, nullable=False, comment="JSON: the brief's release.rollout when it began"),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("by", sa.String(255), nullable=False, comment="who decided; empty where the figures did"),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "api_keys",
        sa.Column(
            "sequence",
            sa.Integer,
            primary_key=True,
            autoincrement=False,
            comment="the last row of an id is how it stands",
        ),
        sa.Column("id", sa.String(32), nullable=False, comment="public part of the key"),
        sa.Column("action", sa.String(16), nullable=False, comment="created, rotated, limited or revoked"),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False, comment="SHA-256 of the secret; empty where it is revoked"),
        sa.Column(
            "previous_hash", sa.String(64), nullable=False, comment="of the secret before, which works until `overlap`"
        ),
        sa.Column("overlap", sa.Float, nullable=False, comment="until when the secret before works; 0 for never"),
        sa.Column("expires", sa.Float, nullable=False, comment="0 for never"),
        sa.Column("scopes", sa.Text, nullable=False, comment="JSON list: infer, feedback, admin"),
        sa.Column("projects", sa.Text, nullable=False, comment="JSON list; empty for this ledger's"),
        sa.Column("limits", sa.Text, nullable=False, comment="JSON: requests and tokens a minute, money a day"),
        sa.Column("by", sa.String(255), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_index("ix_api_keys_id", "api_keys", ["id"])
