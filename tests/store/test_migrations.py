import contextlib
import importlib
import multiprocessing
import os
import pkgutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from lifeloop.core.errors import StoreError
from lifeloop.core.events import Event, Feedback
from lifeloop.store import migrations
from lifeloop.store.ledger import CycleRow, VerdictRow, open_ledger
from lifeloop.store.migrate import HEAD
from lifeloop.store.schema import metadata
from lifeloop.store.standing import standing

CYCLE = CycleRow(number=1, inputs="i", brief="b", feedback_until=0, at=0.0)


def test_migrating_an_empty_database_gives_the_schema(ledger_url):
    with contextlib.closing(open_ledger(ledger_url)) as ledger, ledger._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == HEAD


def test_head_is_the_newest_migration_and_they_form_one_line():
    folder = str(Path(migrations.__path__[0]) / "versions")
    found = [
        importlib.import_module(f"{migrations.__name__}.versions.{m.name}") for m in pkgutil.iter_modules([folder])
    ]
    revisions = sorted(module.revision for module in found)
    assert revisions[-1] == HEAD
    assert [module.down_revision for module in sorted(found, key=lambda m: m.revision)] == [None, *revisions[:-1]]


def test_a_ledger_of_a_newer_lifeloop_is_left_alone(ledger_url):
    with contextlib.closing(open_ledger(ledger_url)) as ledger:
        ledger.add_cycle(CYCLE)
        with ledger._engine.begin() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="revision 9999") as caught:
        open_ledger(ledger_url)
    assert caught.value.fix == "upgrade lifeloop"


def without_traffic(connection: sa.Connection) -> None:
    """Take back what revision 0004 adds."""
    for index in ("events_at", "events_shadow_of"):
        connection.execute(sa.text(f"DROP INDEX {index}"))
    for column in ("shadow_of", "user_key", "api_key"):
        connection.execute(sa.text(f"ALTER TABLE events DROP COLUMN {column}"))
    for table in ("rollouts", "api_keys"):
        connection.execute(sa.text(f"DROP TABLE {table}"))


def downgraded(url: str) -> None:
    """Make a ledger what lifeloop 0.1.0 left: two verdicts, revision 0001."""
    with contextlib.closing(open_ledger(url)) as ledger:
        for name in ("v1", "v2"):
            ledger.add_verdict(VerdictRow(name, 1, "reject", "c1", "c0", "béttér", 1.5))
        with ledger._engine.begin() as connection:
            without_traffic(connection)
            for column in ("override_by", "previous", "hash"):
                connection.execute(sa.text(f"ALTER TABLE verdicts DROP COLUMN {column}"))
            connection.execute(sa.text("ALTER TABLE feedback DROP COLUMN better_than"))
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))


def test_verdicts_that_are_there_are_chained_in_their_order(ledger_url):
    downgraded(ledger_url)

    with contextlib.closing(open_ledger(ledger_url)) as ledger:
        ledger.add_verdict(VerdictRow("v3", 2, "promote", "c2", "c0", "better", 2.5))
        chain = ledger.chain()
        with ledger._engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            assert compare_metadata(context, metadata) == []

    assert [link.row.id for link in chain] == ["v1", "v2", "v3"]
    assert [link.previous for link in chain] == ["", chain[0].hash, chain[1].hash]
    assert all(link.hash == link.expected for link in chain)
    assert {link.row.override_by for link in chain} == {""}


def test_where_the_loop_stands_can_be_asked_of_an_older_ledger(ledger_url):
    downgraded(ledger_url)

    found = standing(ledger_url)

    assert (found.decision, found.reason, found.override_by, found.release_override_by) == ("reject", "béttér", "", "")


def test_feedback_that_is_there_compares_nothing(ledger_url):
    event = Event("e1", 1.0, "r", "c", "first", "a question", "an answer", None, 0.1, 1, 1, 0.0)
    with contextlib.closing(open_ledger(ledger_url)) as ledger:
        ledger.add_served([event], [Feedback("f1", "e1", 2.0, rating=1.0)])
        with ledger._engine.begin() as connection:
            without_traffic(connection)
            connection.execute(sa.text("ALTER TABLE feedback DROP COLUMN better_than"))
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '0002'"))

    with contextlib.closing(open_ledger(ledger_url)) as ledger:
        ledger.add_served([], [Feedback("f2", "e1", 3.0, better_than="e0")])
        found = [row.feedback for row in ledger.feedback()]

    assert [(each.id, each.rating, each.better_than) for each in found] == [("f1", 1.0, None), ("f2", None, "e0")]


def die_in_a_migration(url: str) -> None:
    def die(connection, cursor, statement, *rest):
        if "CREATE TABLE releases" in statement:
            os._exit(3)

    sa.event.listen(sa.Engine, "before_cursor_execute", die)
    open_ledger(url)


def test_a_migration_that_is_killed_leaves_nothing_behind(ledger_url):
    worker = multiprocessing.get_context("spawn").Process(target=die_in_a_migration, args=(ledger_url,))
    worker.start()
    worker.join(60)
    assert worker.exitcode == 3
    with contextlib.closing(open_ledger(ledger_url)) as ledger:
        ledger.add_cycle(CYCLE)
        assert ledger.cycles() == [CYCLE]
