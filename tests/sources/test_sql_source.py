import datetime
import socket
import sqlite3
import threading
import uuid
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError
from lifeloop.sources import database
from lifeloop.sources.database import origin_of
from lifeloop.sources.source import Reading
from lifeloop.sources.sql import SOURCE

QUERY = "SELECT id, text, label FROM tickets ORDER BY id"
TICKETS = [(1, "where is my parcel", "delivery"), (2, "50% off: really?", "price"), (3, "money back", "refund")]


def sqlite(folder: Path, rows: Sequence[tuple] = TICKETS, more: str = "") -> str:
    with closing(sqlite3.connect(folder / "tickets.db")) as connection, connection:
        connection.execute(f"CREATE TABLE tickets (id INTEGER, text TEXT, label TEXT{more})")
        connection.executemany(f"INSERT INTO tickets VALUES ({', '.join('?' * (3 + more.count(',')))})", rows)
    return "sqlite:///tickets.db"


def read(place: str, query: str, folder: Path, **more: str) -> pl.DataFrame:
    reading = Reading(Data(source=place, query=query, **more), folder)
    return pl.concat([chunk.table for chunk in SOURCE.chunks(place, reading)])


def fingerprint(place: str, query: str, folder: Path) -> str:
    return SOURCE.fingerprint(place, Reading(Data(source=place, query=query), folder))


@pytest.fixture
def schema(postgres: str) -> tuple[str, str]:
    """The URL of a PostgreSQL database and the name of a table in it that no other test has."""
    import psycopg

    table = f"tickets_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {table} (id INTEGER, text TEXT, label TEXT)")
        connection.cursor().executemany(f"INSERT INTO {table} VALUES (%s, %s, %s)", TICKETS)
    return postgres, table


# rows


def test_rows_are_those_of_the_query_in_its_order(tmp_path):
    table = read(sqlite(tmp_path), QUERY, tmp_path)
    assert table["input"].to_list() == [text for _, text, _ in TICKETS]
    assert table["reference"].to_list() == ["delivery", "price", "refund"]
    assert table["source"].to_list() == ["tickets.db:1", "tickets.db:2", "tickets.db:3"]


def test_rows_are_called_by_their_place_for_their_id_may_be_personal(tmp_path):
    table = read(sqlite(tmp_path), QUERY + " DESC", tmp_path, id="id")
    assert table["source"].to_list() == ["tickets.db:1", "tickets.db:2", "tickets.db:3"]
    assert table["id"].to_list() == ["3", "2", "1"]


def test_rows_come_from_postgresql_all_the_same(schema, tmp_path):
    url, name = schema
    query = f"SELECT id, text, label FROM {name} WHERE text LIKE '%' AND label::text <> ':x' ORDER BY id;"
    table = read(url, query, tmp_path)
    assert table["input"].to_list() == [text for _, text, _ in TICKETS]
    assert table["source"][0] == "postgres:1"


def test_values_that_are_no_text_become_text(schema, tmp_path):
    url, name = schema
    query = (
        "SELECT text, label, 1.50 AS price, DATE '2024-02-29' AS day, ARRAY[1, 2] AS list, '{\"a\": 1}'::jsonb AS more,"
        f" TRUE AS flag, 'ab'::bytea AS bytes FROM {name} WHERE id = 1"
    )
    slices = ("price", "day", "list", "more", "flag", "bytes")
    (row,) = read(url, query, tmp_path, slices=slices).to_dicts()
    assert row["slices"] == (
        '{"bytes":"ab","day":"2024-02-29","flag":"true","list":"[1,2]","more":"{\\"a\\":1}","price":"1.50"}'
    )


def test_null_is_a_flaw_and_so_is_a_text_that_is_not_valid(tmp_path):
    url = sqlite(tmp_path, [(1, None, "a"), (2, "b", None), (3, "fine", "c")])
    with closing(sqlite3.connect(tmp_path / "tickets.db")) as connection, connection:
        connection.execute("INSERT INTO tickets VALUES (4, CAST(x'61ff62' AS TEXT), 'd')")
    flaws = read(url, QUERY, tmp_path)["flaw"].to_list()
    assert flaws[:3] == ["no value: column 'text'", "no value: column 'label'", ""]
    assert "not valid" in flaws[3]


def test_a_sample_shows_the_first_rows(tmp_path):
    place = sqlite(tmp_path)
    found = SOURCE.sample(place, Reading(Data(source=place, query=QUERY), tmp_path), 2)
    assert found == [dict(zip(("id", "text", "label"), map(str, row), strict=True)) for row in TICKETS[:2]]


def test_memory_holds_a_chunk_of_postgresql_s_rows_and_not_all(schema, tmp_path, monkeypatch):
    monkeypatch.setattr("lifeloop.sources.source.CHUNK_ROWS", 5000)
    url, _ = schema
    query = "SELECT n AS id, 'text ' || n AS text, 'a' AS label FROM (SELECT generate_series(1, 12000) AS n) AS s"
    heights = [chunk.table.height for chunk in SOURCE.chunks(url, Reading(Data(source=url, query=query), tmp_path))]
    assert heights == [5000, 5000, 2000]
    # Two thousand million rows would take hours, and more memory than there is, if they were asked for at once.
    endless = query.replace("12000", "2000000000")
    first = next(SOURCE.chunks(url, Reading(Data(source=url, query=endless), tmp_path)))
    assert first.table["input"][-1] == "text 5000"


# the fingerprint


def test_the_fingerprint_is_of_the_rows_whatever_their_order(tmp_path):
    url = sqlite(tmp_path)
    before = fingerprint(url, QUERY, tmp_path)
    assert fingerprint(url, QUERY + " DESC", tmp_path) == before
    for change in (
        "UPDATE tickets SET label = 'x' WHERE id = 2",
        "INSERT INTO tickets VALUES (4, 'a', 'b')",
        "INSERT INTO tickets VALUES (4, 'a', 'b')",  # once more the same row
        "UPDATE tickets SET text = NULL WHERE id = 1",
        "UPDATE tickets SET text = '' WHERE id = 1",
        "DELETE FROM tickets WHERE id = 1",
    ):
        with closing(sqlite3.connect(tmp_path / "tickets.db")) as connection, connection:
            connection.execute(change)
        after = fingerprint(url, QUERY, tmp_path)
        assert after != before, change
        before = after


def test_what_moves_from_one_column_to_the_next_changes_the_fingerprint(tmp_path):
    url = sqlite(tmp_path, [(1, "ab", "c")])
    before = fingerprint(url, QUERY, tmp_path)
    with closing(sqlite3.connect(tmp_path / "tickets.db")) as connection, connection:
        connection.execute("UPDATE tickets SET text = 'a', label = 'bc'")
    assert fingerprint(url, QUERY, tmp_path) != before


# what may not be


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM tickets",
        "delete from tickets returning id, text, label",
        "/* SELECT */ DROP TABLE tickets",
        "SELECT id, text, label FROM tickets; DELETE FROM tickets",
        "SELECT ';' AS text, 'x' AS label -- '\n; COMMIT; DELETE FROM tickets; -- '",
        "WITH gone AS (SELECT 1) DELETE FROM tickets RETURNING id, text, label",
        "WITH gone AS (DELETE FROM tickets RETURNING *) SELECT * FROM gone",
    ],
)
def test_nothing_is_ever_written(query, schema, tmp_path):
    import psycopg

    with pytest.raises(DataError) as caught:
        read(sqlite(tmp_path), query, tmp_path)
    assert caught.value.fix
    url, name = schema
    with pytest.raises(DataError):
        read(url, query.replace("tickets", name), tmp_path)

    with closing(sqlite3.connect(tmp_path / "tickets.db")) as connection:
        assert connection.execute("SELECT count(*) FROM tickets").fetchone() == (3,)
    with psycopg.connect(url) as connection:
        assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (3,)


def test_a_function_that_writes_is_refused_by_the_database(schema, tmp_path):
    import psycopg

    url, name = schema
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"CREATE FUNCTION empty_{name}() RETURNS text LANGUAGE sql AS 'DELETE FROM {name}; SELECT ''gone'''"
        )
    with pytest.raises(DataError, match="read-only transaction"):
        read(url, f"SELECT empty_{name}() AS text, 'x' AS label", tmp_path)
    with psycopg.connect(url) as connection:
        assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (3,)


def test_a_semicolon_in_a_text_or_at_the_end_is_no_second_statement(tmp_path):
    table = read(sqlite(tmp_path), "SELECT 'a; b' AS text, 'it''s; c' AS label -- one; two\n;  ", tmp_path)
    assert table.select("input", "reference").rows() == [("a; b", "it's; c")]


def test_without_a_query_the_tables_that_there_are_are_said(schema, tmp_path):
    url, _ = schema
    for place in (sqlite(tmp_path), url):
        with pytest.raises(DataError, match=r"data\.query is empty") as caught:
            read(place, " ", tmp_path)
        assert 'query = "SELECT' in caught.value.fix
        assert "tickets" in caught.value.fix


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT text, FROM tickets", "the query fails: .*syntax error"),
        ("SELECT * FROM nowhere", "the query fails: .*nowhere"),
        ("SELECT id, text FROM tickets", "no column 'label'"),
        ("SELECT text, label, label FROM tickets", "two columns 'label'"),
        ("SELECT text, label FROM tickets WHERE id > 9", "the query gives no rows"),
    ],
)
def test_a_query_that_gives_nothing_to_use_is_refused(query, says, schema, tmp_path):
    url, name = schema
    for place, asked in ((sqlite(tmp_path), query), (url, query.replace("tickets", name))):
        with pytest.raises(DataError, match=says) as caught:
            read(place, asked, tmp_path)
        assert caught.value.where
        assert caught.value.fix


# what fails on the way


def test_a_connection_that_is_lost_midway_is_an_error_that_names_the_row(schema, tmp_path, monkeypatch):
    import psycopg

    monkeypatch.setattr("lifeloop.sources.source.CHUNK_ROWS", 1000)
    url, _ = schema
    query = "SELECT 'text ' || n AS text, 'a' AS label FROM (SELECT generate_series(1, 1000000) AS n) AS s"
    found = SOURCE.chunks(url, Reading(Data(source=url, query=query), tmp_path))
    heights = [next(found).table.height, next(found).table.height]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND query LIKE 'FETCH%'"
        )
    with pytest.raises(DataError, match=r"the query failed after row [\d,]+: ") as caught:
        heights += [chunk.table.height for chunk in found]
    assert 2000 <= sum(heights) < 1_000_000
    assert "nothing of it was used" in caught.value.fix


@pytest.mark.parametrize("wrong", ["1 / (2500 - n)", "CASE WHEN n = 2500 THEN 'infinity'::date END"])
def test_a_row_that_the_database_or_the_driver_cannot_give_is_an_error_that_names_it(wrong, schema, tmp_path):
    url, _ = schema
    query = f"SELECT 'text ' || n AS text, 'a' AS label, {wrong} AS odd FROM generate_series(1, 5000) AS n"
    with pytest.raises(DataError, match=r"the query failed after row [12],\d\d\d: "):
        read(url, query, tmp_path)


def test_a_statement_that_takes_too_long_for_its_server_is_an_error(schema, tmp_path):
    url, _ = schema
    limited = f"{url}&options=-cstatement_timeout%3D200"
    with pytest.raises(DataError, match="statement timeout"):
        read(limited, "SELECT 'a' AS text, 'b' AS label, pg_sleep(20)", tmp_path)


def test_a_database_that_is_damaged_is_an_error(tmp_path):
    url = sqlite(tmp_path, [(n, f"text {n} " * 20, "a") for n in range(3000)])
    path = tmp_path / "tickets.db"
    content = bytearray(path.read_bytes())
    content[100_000:200_000] = bytes(100_000)
    path.write_bytes(content)
    with pytest.raises(DataError, match="after row") as caught:
        read(url, "SELECT text, label FROM tickets", tmp_path)
    assert "malformed" in caught.value.what


# places


def test_no_password_is_ever_shown(tmp_path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    url = f"postgresql://ann:hunter2%40x@127.0.0.1:{port}/shop?sslpassword=hunter3&connect_timeout=2"
    assert origin_of(url) == f"postgresql://127.0.0.1:{port}/shop"
    monkeypatch.setenv("TICKETS_DB", url)
    assert origin_of("env:TICKETS_DB") == "env:TICKETS_DB"
    for place in (url, "env:TICKETS_DB"):
        with pytest.raises(DataError, match="cannot be reached") as caught:
            read(place, QUERY, tmp_path)
        assert "hunter" not in str(caught.value)
    for odd in ("postgresql://ann:hunter2@[::1/shop", "postgresql//ann:hunter2", "nosuch://ann:hunter2@host/shop"):
        with pytest.raises(DataError) as caught:
            read(odd, QUERY, tmp_path)
        assert "hunter" not in str(caught.value)


def test_the_environment_may_hold_the_url(tmp_path, monkeypatch):
    monkeypatch.setenv("TICKETS_DB", sqlite(tmp_path))
    assert read("env:TICKETS_DB", QUERY, tmp_path)["source"][0] == "tickets.db:1"
    with pytest.raises(DataError, match="the environment has no OTHER_DB") as caught:
        read("env:OTHER_DB", QUERY, tmp_path)
    assert "export OTHER_DB=" in caught.value.fix


def test_a_server_that_does_not_answer_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "CONNECT_SECONDS", 2)  # the least that the driver knows
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        threading.Thread(target=lambda: silent.accept()[0].recv(1), daemon=True).start()
        begun = datetime.datetime.now()
        with pytest.raises(DataError, match="cannot be reached"):
            read(f"postgresql://127.0.0.1:{port}/shop", QUERY, tmp_path)
    assert (datetime.datetime.now() - begun).total_seconds() < 10


@pytest.mark.parametrize("place", ["sqlite:///nowhere.db", "sqlite://", "sqlite:///:memory:", "sqlite:////"])
def test_an_sqlite_file_that_is_not_there_is_not_made(place, tmp_path):
    with pytest.raises(DataError, match="no such SQLite file"):
        read(place, QUERY, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "tickets.db").write_text("text,label\na,b\n" * 100, encoding="utf-8")
    with pytest.raises(DataError, match="not a database"):
        read("sqlite:///tickets.db", QUERY, tmp_path)
