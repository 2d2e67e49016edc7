"""Connecting to the ledger's database: SQLite in a file or PostgreSQL by URL, and its errors in words that help.

Takes a URL, gives an engine whose connections are set up; knows nothing of tables.
"""

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from lifeloop.core.errors import StoreError

BUSY_SECONDS = 10.0
"""How long to wait for another process that holds the database before giving up with an error."""
SWITCH_SECONDS = 2.0
"""How long to try to switch a database to its write-ahead log while another process does."""

SILENCE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
"""When a PostgreSQL server that says nothing counts as gone: seconds, and milliseconds for the last (libpq's words)."""


def connect(url: str) -> tuple[sa.Engine, str]:
    """Return the engine of a SQLAlchemy URL, and the database's name without its password. Nothing is asked of it yet.

    Raises StoreError where the URL is none.
    """
    name = url
    try:
        parsed = sa.engine.make_url(url)
        name = parsed.render_as_string(hide_password=True)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            name = parsed.database
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(parsed, **_engine_options(parsed))
        if parsed.get_backend_name() == "sqlite":
            sa.event.listen(engine, "connect", _prepare_sqlite)
    except (DBAPIError, OSError, sqlite3.Error, sa.exc.ArgumentError) as error:
        raise explain(error, name) from error
    except ModuleNotFoundError as error:
        raise StoreError(
            f"the driver {error.name} is not installed", where=name, fix="pip install 'lifeloop[postgres]'"
        ) from error
    return engine, name


def _engine_options(url: sa.URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": BUSY_SECONDS, "check_same_thread": False}}
    arguments = {"connect_timeout": int(BUSY_SECONDS), **SILENCE}
    return {"pool_pre_ping": True, "connect_args": arguments}


def _prepare_sqlite(connection: Any, _: object) -> None:
    # WAL lets the gateway write events while a cycle reads; FULL makes a commit survive a power cut. Events come in
    # transactions of a thousand, whose pages (16 MB here and in the log) are then not written again for each.
    cursor = connection.cursor()
    _switch_to_wal(cursor)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "wal_autocheckpoint=4000", "cache_size=-16000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    """Use a write-ahead log. SQLite waits for no other process that is just switching to it, so this does."""
    end = time.monotonic() + SWITCH_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(0.01)


def explain(error: BaseException, name: str) -> StoreError:
    """Return a database error as one that says what to do."""
    text = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    low = text.lower()
    if "locked" in low or "busy" in low:
        return StoreError(
            "the ledger is locked by another process",
            where=name,
            fix=f"waited {BUSY_SECONDS:.0f} s; end the process that holds it (fuser {name}), or try again",
        )
    if "full" in low or "no space" in low:
        return StoreError("the disk is full", where=name, fix="free some space and run again: finished work is kept")
    if "not a database" in low or "malformed" in low or "file is encrypted" in low:
        return StoreError("this is not a ledger, or it is damaged", where=name, fix="restore it from a backup")
    if isinstance(error, OSError) or "readonly" in low or "permission" in low or "unable to open" in low:
        return StoreError(f"cannot be opened or written ({text})", where=name, fix="check the path and its permissions")
    return StoreError(text, where=name, fix="check that the database is up and that the URL is right")
