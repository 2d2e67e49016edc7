"""Reading a source as one table, however many chunks it comes in."""

from pathlib import Path

import polars as pl

from lifeloop.core.brief import Data
from lifeloop.sources.source import START, Chunk, Entry, Reading, Source


def read(source: Source, path: Path, data: Data, task: str = "classify") -> pl.DataFrame:
    """Return all rows of the file or folder at `path`, as a project in the folder it lies in would."""
    return pl.concat([chunk.table for chunk in chunks(source, path, data, START, task)])


def chunks(source: Source, path: Path, data: Data, entry: Entry = START, task: str = "classify") -> list[Chunk]:
    """Return the chunks from an entry on."""
    return list(source.chunks(path.name, Reading(data, path.parent, task), entry))


def sample(source: Source, path: Path, limit: int, encoding: str = "utf-8") -> list[dict[str, str]]:
    """Return the first rows, as column to text."""
    return source.sample(path.name, Reading(Data(source=path.name, encoding=encoding), path.parent), limit)
