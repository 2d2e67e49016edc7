"""Rows of a set of the Hugging Face hub, by name: `hub:OWNER/NAME`, streamed at the commit that data.revision is at.

Labels that the set writes as numbers are given by their names. The set's splits, one after the other, are the column
`split`, where it has none of its own. A row is `OWNER/NAME/SPLIT:NUMBER`. Never reads a folder of this machine, and
runs no code of the set. Knows nothing of what the columns mean.
"""

import itertools
import re
from collections.abc import Iterator

from lifeloop.core.content import Id, content_id
from lifeloop.core.errors import DataError
from lifeloop.sources.hub_stream import Said, streamed
from lifeloop.sources.rows import Record, check_columns, chunked, wanted
from lifeloop.sources.source import START, Chunk, Entry, Reading

SPLIT = "split"
"""The column with the name of the hub's split."""

_NAME = re.compile(r"(?:hub:)?(\w[\w.-]*(?:/\w[\w.-]*)?)", re.ASCII)


class Hub:
    """What `format = "hub"` names."""

    suffixes = ()

    def chunks(self, place: str, reading: Reading, entry: Entry = START) -> Iterator[Chunk]:
        """Yield the rows of all splits; see `Source.chunks`. It cannot be entered midway.

        Raises DataError where the hub does not answer, or no longer does: what came before is not the whole.
        """
        del entry
        name, data, n_rows = _name(place), reading.data, 0
        with streamed(name, data.revision, data.subset, wanted(data)) as said:
            for chunk in chunked(_records(_held(said, reading, name), name), data):
                n_rows += chunk.table.height
                yield chunk
        if not n_rows:
            raise DataError("the set holds no rows", where=f"hub:{name}", fix="check data.subset and data.revision")

    def fingerprint(self, place: str, reading: Reading) -> Id:
        """Return an id of the commit that data.revision is at; see `Source.fingerprint`."""
        name, data = _name(place), reading.data
        with streamed(name, data.revision, data.subset, None) as said:
            return content_id([name, data.subset, next(said).commit])

    def sample(self, place: str, reading: Reading, limit: int) -> list[dict[str, str]]:
        """Return the first rows; see `Source.sample`."""
        name, data = _name(place), reading.data
        with streamed(name, data.revision, data.subset, ()) as said:
            records = itertools.islice(_records(said, name), limit)
            return [{column: text or "" for column, text in record.cells.items()} for record in records]


def _name(place: str) -> str:
    found = _NAME.fullmatch(place)
    if not found or ".." in place:
        fix = 'write "hub:OWNER/NAME", as on the page of the set'
        raise DataError("not the name of a set of the hub", where=place, fix=fix)
    return found[1]


def _held(said: Iterator[Said], reading: Reading, name: str) -> Iterator[Said]:
    """Yield what is said, each split held to the columns that the brief names."""
    for each in said:
        if each.has:
            check_columns(list(dict.fromkeys((*each.has, SPLIT))), reading.data, f"hub:{name}, {each.split}")
        yield each


def _records(said: Iterator[Said], name: str) -> Iterator[Record]:
    number, split = 0, ""
    for each in said:
        if each.split != split:
            number, split = 0, each.split
        for row in each.rows:
            number += 1
            yield Record(f"{name}/{split}:{number}", {SPLIT: split, **dict(zip(each.columns, row, strict=True))})


SOURCE = Hub()
