"""Brings a ledger to the schema of this version. Alembic is imported only when something is to be done."""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from lifeloop.core.errors import StoreError

HEAD = "0004"
"""The revision this version of lifeloop works with; a test compares it with the newest migration."""
ALONE = 0x6C696665
"""Number of the PostgreSQL advisory lock that a migration holds."""


def migrate(engine: Engine) -> None:
    """Create or upgrade the tables. Raises StoreError if the ledger was written by a newer lifeloop.

    All of it is one transaction: a crash leaves the ledger as it was, and a second process waits for the first.
    """
    with engine.connect() as connection:
        if _is_current(connection):
            return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        _wait_for_others(connection)
        if _is_current(connection):
            return
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _wait_for_others(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":  # its driver would begin no transaction for a change of tables
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": ALONE})


def _is_current(connection: Connection) -> bool:
    if not inspect(connection).has_table("alembic_version"):
        return False
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    current = str(row[0]) if row else ""
    if current > HEAD:
        raise StoreError(
            f"the ledger is at revision {current}, this lifeloop knows {HEAD}",
            where=connection.engine.url.render_as_string(hide_password=True),
            fix="upgrade lifeloop",
        )
    return current == HEAD
