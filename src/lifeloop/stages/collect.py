"""What data do we have? The rows of the brief's source and those that feedback taught, as one table.

Takes the data section of the brief, gives raw rows exactly as they came, each with where it came from. Trusts nothing
and drops nothing: that is for refine.
"""

import os
from pathlib import Path

import polars as pl

from lifeloop.core.brief import Data
from lifeloop.core.content import Id, bytes_id, content_id
from lifeloop.core.errors import DataError
from lifeloop.sources.source import source_for
from lifeloop.store.tables import RAW_SCHEMA
from lifeloop.store.vault import file_id

VERSION = "1"
"""Changed by hand when the same source would give other rows."""


def collect(data: Data, root: Path, learned: pl.DataFrame) -> pl.DataFrame:
    """Return the raw rows of the source, relative to `root`, and after them the learned ones; both of RAW_SCHEMA.

    Raises DataError where the source as a whole cannot be used.
    """
    path = root / data.source
    raw = source_for(path, data.format).read(path, data)
    return pl.concat([raw, learned.select(list(RAW_SCHEMA))], how="vertical")


def fingerprint(data: Data, root: Path) -> Id:
    """Return the id of the source's bytes: of the file, or of all paths and files of the folder.

    Raises DataError where there is no such file or folder, or it cannot be read.
    """
    path = root / data.source
    source_for(path, data.format)
    try:
        return _folder_id(path) if path.is_dir() else file_id(path)
    except OSError as error:
        where = str(error.filename or path)
        raise DataError(f"cannot be read ({error.strerror})", where=where, fix="check its permissions") from None


def _folder_id(root: Path) -> Id:
    """Return the id of what a folder holds. Links count by where they point: nothing outside the folder is read."""
    found = {}
    for folder, inner, files in os.walk(root, followlinks=False):
        for name in (*files, *inner):
            path = Path(folder) / name
            place = os.fsencode(path.relative_to(root)).decode("utf-8", "backslashreplace")
            if path.is_symlink():
                found[place] = bytes_id(os.fsencode(path.readlink()))
            elif path.is_file():
                found[place] = file_id(path)
    return content_id(found)
