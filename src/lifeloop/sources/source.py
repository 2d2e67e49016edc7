"""The seam of data sources: what turns a file or a folder into raw rows, and how the right one is found.

To add a source: one module with an object that has these members, declared under `lifeloop.sources`. It knows where
rows come from and which of them could not be read; whether a row can be trusted is for the guards.
"""

import difflib
from pathlib import Path
from typing import Protocol

import polars as pl

from lifeloop import plugins
from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError


class Source(Protocol):
    """What the registry holds for each format."""

    suffixes: tuple[str, ...]
    """The endings of its files, lower-case, with the dot; empty for a source that is no file."""

    def read(self, path: Path, data: Data) -> pl.DataFrame:
        """Return one row of RAW_SCHEMA for each row there is, in order; `flaw` says why a row could not be read.

        Raises DataError where the whole cannot be used: no such file, no rows, no such column, another encoding.
        """

    def sample(self, path: Path, encoding: str, limit: int) -> list[dict[str, str]]:
        """Return the first rows that can be read, at most `limit`, as column to text, for people to choose columns."""


def source_for(path: Path, format: str = "auto") -> Source:
    """Return the source of a format, for "auto" the one that the path's ending names; a directory is a `folder`.

    Raises DataError where there is nothing at the path, or no source reads files of that ending.
    """
    if not path.exists():
        raise _missing(path)
    if format == "auto" and path.is_dir():
        format = "folder"
    if format != "auto":
        found: Source = plugins.get("sources", format, where="data.format")
        if path.is_dir() != (format == "folder"):
            what = "is a directory" if path.is_dir() else "is a file"
            raise DataError(f"{what}, which the format {format!r} is not", where=str(path), fix="mend data.format")
        return found
    known: list[str] = []
    for name in plugins.names("sources"):
        source: Source = plugins.get("sources", name)
        if path.suffix.lower() in source.suffixes:
            return source
        known += source.suffixes
    raise DataError(
        f"no source reads files that end in {path.suffix!r}",
        where=str(path),
        fix=f"set data.format, or use one of: {', '.join(sorted(known))}",
    )


def _missing(path: Path) -> DataError:
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, beside, n=1)
    fix = f"did you mean {close[0]!r}?" if close else "mend data.source: it is relative to the project's folder"
    return DataError("there is no such file or folder", where=str(path), fix=fix)
