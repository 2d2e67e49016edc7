"""The tables of the ledger, as SQLAlchemy Core sees them. They are a public interface: people may query them.

Rows are only ever inserted. A migration in `migrations/` goes with every change here.
"""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text, text

metadata = MetaData()

_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only for INTEGER

cycles = Table(
    "cycles",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("inputs", String(64), nullable=False, comment="hash of what the cycle works on"),
    Column("brief", String(64), nullable=False, comment="vault id of the brief's text"),
    Column("feedback_until", BigInteger, nullable=False, comment="feedback.sequence up to which it learns"),
    Column("at", Float, nullable=False, comment="seconds since the epoch, UTC"),
)

runs = Table(
    "runs",
    metadata,
    Column("key", String(64), primary_key=True, comment="hash of stage, inputs, section and version"),
    Column("sequence", Integer, nullable=False, unique=True),
    Column("cycle", Integer, nullable=False, index=True, comment="the cycle that ran it first"),
    Column("stage", String(32), nullable=False),
    Column("subject", String(64), nullable=False, comment="the candidate, split or suite it was about"),
    Column("inputs", Text, nullable=False, comment="JSON: name to id"),
    Column("output", String(64), nullable=False, comment="vault id of what came out"),
    Column("seconds", Float, nullable=False),
    Column("at", Float, nullable=False),
    Column("version", String(32), nullable=False, comment="lifeloop version"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", String(64), primary_key=True, comment="vault id of the verdict"),
    Column("sequence", Integer, nullable=False, unique=True),
    Column("cycle", Integer, nullable=False, index=True),
    Column("decision", String(16), nullable=False),
    Column("challenger", String(64), nullable=False),
    Column("champion", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("override_by", String(255), nullable=False, comment="who promoted it against the gate, or empty"),
    Column("previous", String(64), nullable=False, comment="hash of the row before; empty for the first"),
    Column("hash", String(64), nullable=False, comment="SHA-256 of the hash before and this row (store/chain.py)"),
)

releases = Table(
    "releases",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False, comment="the highest is in production"),
    Column("id", String(64), nullable=False, index=True, comment="vault id of the release"),
    Column("verdict", String(64), nullable=False),
    Column("candidate", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("at", Float, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("at", Float, nullable=False),
    Column("release", String(64), nullable=False, index=True),
    Column("candidate", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("input", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("confidence", Float),
    Column("seconds", Float, nullable=False),
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("usd", Float, nullable=False),
    Column("error", Text, nullable=False),
    Column(
        "shadow_of", String(64), nullable=False, server_default=text("''"), comment="the event that it answers unseen"
    ),
    Column("user_key", String(64), nullable=False, server_default=text("''"), comment="hash of the sender's user key"),
    Column("api_key", String(32), nullable=False, server_default=text("''"), comment="id of the API key that asked"),
)
Index("events_at", events.c.at)
Index(  # of shadows alone, which are few and asked for by themselves
    "events_shadow_of",
    events.c.shadow_of,
    sqlite_where=events.c.shadow_of != "",
    postgresql_where=events.c.shadow_of != "",
)

feedback = Table(
    "feedback",
    metadata,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("event", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Column("rater", String(255), nullable=False),
    Column("rating", Float),
    Column("label", Text),
    Column("comment", Text, nullable=False),
    Column("better_than", String(64), comment="the event whose answer is liked less, where two were compared"),
)
Index("feedback_event", feedback.c.event)

rollouts = Table(
    "rollouts",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False, comment="the highest is how things stand"),
    Column("release", String(64), nullable=False, comment="vault id of the release on its way to all traffic"),
    Column("control", String(64), nullable=False, comment="id of the release in production meanwhile"),
    Column("strategy", String(16), nullable=False, comment="direct, shadow, canary or ab"),
    Column("phase", String(16), nullable=False, comment="running, promoted or rolled_back"),
    Column("step", Integer, nullable=False, comment="which of its steps, from 0"),
    Column("share", Float, nullable=False, comment="of the traffic that it gets"),
    Column("settings", Text, nullable=False, comment="JSON: the brief's release.rollout when it began"),
    Column("reason", Text, nullable=False),
    Column("by", String(255), nullable=False, comment="who decided; empty where the figures did"),
    Column("at", Float, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column(
        "sequence", Integer, primary_key=True, autoincrement=False, comment="the last row of an id is how it stands"
    ),
    Column("id", String(32), nullable=False, index=True, comment="public part of the key"),
    Column("action", String(16), nullable=False, comment="created, rotated, limited or revoked"),
    Column("name", String(255), nullable=False),
    Column("hash", String(64), nullable=False, comment="SHA-256 of the secret; empty where it is revoked"),
    Column("previous_hash", String(64), nullable=False, comment="of the secret before, which works until `overlap`"),
    Column("overlap", Float, nullable=False, comment="until when the secret before works; 0 for never"),
    Column("expires", Float, nullable=False, comment="0 for never"),
    Column("scopes", Text, nullable=False, comment="JSON list: infer, feedback, admin"),
    Column("projects", Text, nullable=False, comment="JSON list; empty for this ledger's"),
    Column("limits", Text, nullable=False, comment="JSON: requests and tokens a minute, money a day"),
    Column("by", String(255), nullable=False),
    Column("at", Float, nullable=False),
)
