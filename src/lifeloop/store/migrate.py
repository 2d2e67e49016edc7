"""Brings a ledger to the schema of this version. Alembic is imported only when something is to be done."""

from pathlib import Path

from sqlalchemy import Engine, inspect, text

from lifeloop.core.errors import StoreError

HEAD = "0001"
"""The revision this version of lifeloop works with; a test compares it with the newest migration."""


def migrate(engine: Engine) -> None:
    """Create or upgrade the tables. Raises StoreError if the ledger was written by a newer lifeloop."""
    current = _current(engine)
    if current == HEAD:
        return
    if current is not None and current > HEAD:
        raise StoreError(
            f"the ledger is at revision {current}, this lifeloop knows {HEAD}",
            where=engine.url.render_as_string(hide_password=True),
            fix="upgrade lifeloop",
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _current(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
        return str(row[0]) if row else None
