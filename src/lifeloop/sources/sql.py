"""Rows that a SELECT gives, from any database that SQLAlchemy speaks to.

The place is the database's URL, or `env:NAME` for one that the environment holds: a brief is under version control,
where no password belongs. A row is `DATABASE:NUMBER`, or with data.id `DATABASE:ID`; without an ORDER BY the numbers
are the database's whim. Knows nothing of drivers.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from lifeloop.core.brief import Data
from lifeloop.core.content import Id, content_id
from lifeloop.core.errors import DataError
from lifeloop.sources.database import Selected, selected
from lifeloop.sources.decoding import repaired
from lifeloop.sources.rows import Record, as_text, check_columns, chunked
from lifeloop.sources.source import START, Chunk, Entry, Reading


class Sql:
    """What `format = "sql"` names."""

    suffixes = ()

    def chunks(self, place: str, reading: Reading, entry: Entry = START) -> Iterator[Chunk]:
        """Yield the rows of `data.query`; see `Source.chunks`. It cannot be entered midway.

        Raises DataError where the database fails on the way: what came before is not the whole.
        """
        del entry
        n_rows = 0
        with selected(place, reading.data.query, reading.root) as found:
            check_columns(found.columns, reading.data, found.name)
            for chunk in chunked(_records(found, reading.data), reading.data):
                n_rows += chunk.table.height
                yield chunk
        if not n_rows:
            raise DataError("the query gives no rows", where=f"{found.name}, data.query", fix="check its conditions")

    def fingerprint(self, place: str, reading: Reading) -> Id:
        """Return an id of the rows that the query gives now, whatever their order; see `Source.fingerprint`.

        No database says more cheaply whether a row was changed, so all rows are read once.
        """
        total, n_rows = 0, 0
        with selected(place, reading.data.query, reading.root) as found:
            for row in found.rows:
                digest = hashlib.sha256()
                for value in row:
                    digest.update(_unmistakable(value))
                total += int.from_bytes(digest.digest(), "big")
                n_rows += 1
        return content_id([found.columns, n_rows, f"{total % 2**256:x}"])

    def sample(self, place: str, reading: Reading, limit: int) -> list[dict[str, str]]:
        """Return the first rows; see `Source.sample`."""
        with selected(place, reading.data.query, reading.root) as found:
            rows = [row for row, _ in zip(found.rows, range(limit), strict=False)]
        return [
            {name: repaired(as_text(value) or "") for name, value in zip(found.columns, row, strict=True)}
            for row in rows
        ]


def _records(found: Selected, data: Data) -> Iterator[Record]:
    for number, row in enumerate(found.rows, start=1):
        cells = dict(zip(found.columns, row, strict=True))
        yield Record(f"{found.name}:{number}", cells)


def _unmistakable(value: Any) -> bytes:
    """Return a value's text with its length, so that no two rows run together to the same bytes; NULL has none."""
    text = as_text(value)
    return b"-" if text is None else f"{len(text)}:{text}".encode("utf-8", "surrogatepass")


SOURCE = Sql()
