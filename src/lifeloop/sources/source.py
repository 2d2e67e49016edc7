"""The seam of data sources: what turns a place into raw rows, in chunks, so that no source has to fit into memory.

To add a source: one module with an object that has these members, declared under `lifeloop.sources`. It knows where
rows come from and which of them could not be read; whether a row can be trusted is for the guards.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import polars as pl
from msgspec import Struct

from lifeloop.core.brief import Data
from lifeloop.core.content import Id

CHUNK_ROWS = 20_000
"""Rows that a source gives at a time, so that memory does not grow with the data."""

CHUNK_CHARS = 100_000_000
"""A chunk ends with the row that takes it beyond so many characters, however few rows it has."""


class Entry(Struct, frozen=True):
    """Where in a source reading can begin without what stands before it. The default is its start."""

    offset: int = 0
    """Bytes before it."""
    lines: int = 0
    """Lines before it, for the places that rows are named by."""
    rows: int = 0
    """Rows before it."""
    damaged: int = 0
    """Those of them that could not be decoded: whether the encoding is right is a question about all rows."""


START = Entry()


class Chunk(Struct, frozen=True):
    """The next rows of a source: CHUNK_ROWS of them, fewer where they are very long or at its end."""

    table: pl.DataFrame
    """Of RAW_SCHEMA, in order; `flaw` says why a row could not be read."""
    end: Entry | None = None
    """Where the next chunk begins; None for a source that cannot be entered midway."""


class Reading(Struct, frozen=True):
    """What every source is told."""

    data: Data
    root: Path
    """The project's folder, which paths are relative to."""
    task: str = "classify"
    """For formats whose rows look different for a chat than for a generation."""


class Source(Protocol):
    """What the registry holds for each format."""

    suffixes: tuple[str, ...]
    """The endings of its files, lower-case, with the dot; empty for a source that is no file."""

    def chunks(self, place: str, reading: Reading, entry: Entry = START) -> Iterator[Chunk]:
        """Yield the rows from an entry on, which an earlier reading of the same bytes gave.

        `place` is a file's path or a folder's (relative to the root or absolute), or whatever else names the source.
        Raises DataError, at the latest after the last chunk, where the whole cannot be used: no such file, no rows, no
        such column, another encoding.
        """

    def fingerprint(self, place: str, reading: Reading) -> Id:
        """Return an id that changes whenever the rows do. Raises DataError where the source cannot be read."""

    def sample(self, place: str, reading: Reading, limit: int) -> list[dict[str, str]]:
        """Return the first rows that can be read, at most `limit`, as column to text, for people to choose columns."""
