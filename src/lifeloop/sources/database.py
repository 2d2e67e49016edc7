"""A SELECT asked of a database: read-only, as a stream, and with errors that say no password.

Takes the place of a database (a SQLAlchemy URL, or `env:NAME`) and a statement, gives the columns and the rows as the
driver has them. Where the database offers it (SQLite, PostgreSQL) it is asked to refuse whatever writes; elsewhere the
transaction is never committed. Knows nothing of what the columns mean.
"""

import contextlib
import os
import re
import sqlite3
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from lifeloop.core.errors import DataError

FETCHED = 1000
"""Rows that are asked of the database at a time."""
CONNECT_SECONDS = 20
"""After which a PostgreSQL server that does not answer is given up, where its URL says nothing else."""

_BEGINS_LIKE_A_SELECT = re.compile(r"[\s(]*(select|with|values|table)\b", re.IGNORECASE)
_QUOTED_OR_SAID = re.compile(r"'(?:[^'\\]|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_SECRET = re.compile("pass|pwd|secret|token|key|credential", re.IGNORECASE)


class Selected(Struct, frozen=True):
    """What a statement gives."""

    columns: tuple[str, ...]
    rows: Iterator[Sequence[Any]]
    """Raises DataError where the database fails on the way, naming the row that was reached."""
    name: str
    """The database's own name, which its rows are called by."""


def origin_of(place: str) -> str:
    """Return a place as it may be stored and shown: `env:NAME`, or a URL without user, password and settings."""
    if place.startswith("env:"):
        return place
    url = _parsed(place)
    host = f"{url.host}:{url.port}" if url.port else url.host or ""
    return f"{url.drivername}://{host}/{url.database or ''}"


@contextlib.contextmanager
def selected(place: str, query: str, root: Path) -> Iterator[Selected]:
    """Give what a SELECT finds in a database; the path of an SQLite file is relative to `root`.

    Raises DataError for a place that is no database, a statement that is no SELECT, and whatever the database says.
    """
    url = _resolved(place)
    name = Path(url.database or "").name or url.drivername
    with _connection(url, root, place, name) as connection:
        if not query.strip():
            raise _no_query(connection, name)
        _check_query(query, name)
        # What drivers do to parameters would change a % or a : in the statement, which has none.
        asked = connection.execution_options(stream_results=True, yield_per=FETCHED, no_parameters=True)
        try:
            result = asked.exec_driver_sql(query)
            columns = tuple(result.keys())
        except SQLAlchemyError as error:
            fix = "try the query in the database's own client; rows are only ever read, so it can only be a SELECT"
            raise DataError(f"the query fails: {_reason(error, url)}", where=f"{name}, data.query", fix=fix) from None
        yield Selected(columns, _rows(result, name, url), name)


def _rows(result: "sa.CursorResult[Any]", name: str, url: URL) -> Iterator[Sequence[Any]]:
    n_rows = 0
    try:
        for row in result:
            yield row
            n_rows += 1
    except SQLAlchemyError as error:
        fix = "nothing of it was used: run again; if it fails at the same row, cast or leave out what stands there"
        what = f"the query failed after row {n_rows:,}: {_reason(error, url)}"
        raise DataError(what, where=f"{name}, data.query", fix=fix) from None


def _resolved(place: str) -> URL:
    if not place.startswith("env:"):
        return _parsed(place)
    variable = place.removeprefix("env:")
    value = os.environ.get(variable, "")
    if not value:
        fix = f"export {variable}=postgresql://USER:PASSWORD@HOST/DATABASE before you run"
        raise DataError(f"the environment has no {variable}", where="data.source", fix=fix)
    return _parsed(value)


def _parsed(text: str) -> URL:
    try:
        return make_url(text)
    except (ArgumentError, ValueError):  # neither says the text, and nor do we: it may hold a password
        fix = "write sqlite:///FILE, postgresql://HOST/DATABASE, or env:NAME for a URL in the environment"
        raise DataError("not the URL of a database", where="data.source", fix=fix) from None


@contextlib.contextmanager
def _connection(url: URL, root: Path, place: str, name: str) -> Iterator[sa.Connection]:
    try:
        engine = _engine(url, root)
    except NoSuchModuleError:
        fix = "install the package that adds it to SQLAlchemy"
        raise DataError(f"no driver for {url.drivername}", where="data.source", fix=fix) from None
    except ModuleNotFoundError as error:
        fix = "pip install 'lifeloop[postgres]'" if error.name == "psycopg" else f"pip install {error.name}"
        raise DataError(f"the driver {error.name} is not installed", where="data.source", fix=fix) from None
    try:
        connection = engine.connect()
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(postgresql_readonly=True)
    except SQLAlchemyError as error:
        engine.dispose()
        fix = "check data.source, and that the database is running and lets you in"
        what = f"the database cannot be reached: {_reason(error, url)}"
        raise DataError(what, where=origin_of(place), fix=fix) from None
    try:
        yield connection
    finally:
        with contextlib.suppress(SQLAlchemyError):  # it may be gone already
            connection.close()
        engine.dispose()


def _engine(url: URL, root: Path) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        path = root / (url.database or "")
        if not path.is_file():
            fix = "check data.source: sqlite:/// and a path relative to the project"
            raise DataError("there is no such SQLite file", where=url.database or "data.source", fix=fix)
        return sa.create_engine("sqlite+pysqlite://", creator=lambda: _sqlite(path), poolclass=NullPool)
    settings: dict[str, Any] = {}
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_driver_name() == "psycopg" and "connect_timeout" not in url.query:
        settings["connect_timeout"] = CONNECT_SECONDS
    return sa.create_engine(url, connect_args=settings, poolclass=NullPool)


def _sqlite(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro", uri=True)
    connection.execute("PRAGMA query_only = ON")
    # A text that is not UTF-8 spoils its own row, not the query.
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    return connection


def _no_query(connection: sa.Connection, name: str) -> DataError:
    try:
        inspector = sa.inspect(connection)
        tables = [*inspector.get_table_names(), *inspector.get_view_names()]
    except SQLAlchemyError:
        tables = []
    listed = f"; there are {', '.join(tables[:20])}{', …' if len(tables) > 20 else ''}" if tables else ""
    example = f'query = "SELECT id, text, label FROM {tables[0] if tables else "TABLE"} ORDER BY id"'
    return DataError("which rows? data.query is empty", where=name, fix=f"under [data], write {example}{listed}")


def _check_query(query: str, name: str) -> None:
    """Raise DataError for what is not one SELECT. Whether it writes all the same, the database knows better."""
    bare = _QUOTED_OR_SAID.sub(" ", query).strip().removesuffix(";")
    where = f"{name}, data.query"
    if not _BEGINS_LIKE_A_SELECT.match(bare):
        raise DataError("the query is no SELECT", where=where, fix="data is only ever read: begin with SELECT or WITH")
    if ";" in bare:
        raise DataError("more than one statement", where=where, fix="write one SELECT, without a semicolon in it")


def _reason(error: BaseException, url: URL) -> str:
    """Return what the driver says, in a line, without what the URL keeps secret."""
    said = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    line = " ".join(said.splitlines()[0].split())
    hidden = [str(url.password)] if url.password else []
    for key, value in url.query.items():
        if _SECRET.search(key):
            hidden += [value] if isinstance(value, str) else value
    for secret in hidden:
        line = line.replace(secret, "***").replace(urllib.parse.quote(secret, safe=""), "***")
    return line[:200]
