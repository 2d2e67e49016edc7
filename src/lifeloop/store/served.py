"""Inserts events and feedback into the ledger's tables, hundreds at a time, as fast as the driver goes.

Takes a connection in a transaction. SQLite gets rows (`executemany`), PostgreSQL one JSON text that it takes apart
itself, which costs this process a quarter of what binding each value would.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from lifeloop.core.events import Event, Feedback

ALONE = 0x6C696674
"""Number of the PostgreSQL advisory lock that whoever adds events or feedback holds."""
IDLE = "15s"
"""How long one that holds it may say nothing (its process was stopped, the network fell apart) before it loses it."""


def insert_served(connection: Connection, events: Sequence[Event], feedback: Sequence[Feedback]) -> None:
    """Insert what is not there yet, by id, in the order given.

    One process at a time: then sequence numbers appear in their order, so that whoever reads on after the last number
    seen misses none, and two that insert the same ids do not wait for each other crosswise. SQLite sees to that itself.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            "SELECT set_config('idle_in_transaction_session_timeout', %s, true), pg_advisory_xact_lock(%s)",
            (IDLE, ALONE),
        )
    for table, items in (("events", events), ("feedback", feedback)):
        if not items:
            continue
        names = items[0].__struct_fields__
        columns = ", ".join(names)
        if connection.dialect.name == "postgresql":
            # `null::table` gives each value the type of its column.
            rows = f"SELECT {columns} FROM json_populate_recordset(null::{table}, %s::json)"
            query = f"INSERT INTO {table} ({columns}) {rows} ON CONFLICT (id) DO NOTHING"
            connection.exec_driver_sql(query, (msgspec.json.encode(items).decode(),))
        else:
            places = ", ".join("?" * len(names))
            query = f"INSERT INTO {table} ({columns}) VALUES ({places}) ON CONFLICT (id) DO NOTHING"
            connection.exec_driver_sql(query, [msgspec.structs.astuple(item) for item in items])
