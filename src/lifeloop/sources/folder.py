"""Rows of a folder: one text a file, and the name of the sub-folder it is in is its label.

Reads *.txt and *.md, in the order of their paths; other files are no texts. Never follows a symbolic link out of the
folder: such a file becomes a flaw.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError
from lifeloop.sources.decoding import MOST_DAMAGED, decode, repaired, wrong_encoding
from lifeloop.sources.rows import DAMAGED, Record, check_columns, raw_table, share_damaged

ENDINGS = (".txt", ".md")


class Folder:
    """What `format = "folder"` names."""

    suffixes = ()

    def read(self, path: Path, data: Data) -> pl.DataFrame:
        """Return the raw rows of a folder; see `Source.read`. `data.input` and `data.reference` name nothing here."""
        check_columns((data.input, data.reference), data, path.name)
        table = raw_table(_records(path, data.encoding, data.input, data.reference), data)
        if not table.height:
            fix = f"put files that end in {' or '.join(ENDINGS)} in it, in one sub-folder a label"
            raise DataError("the folder holds no texts", where=str(path), fix=fix)
        if share_damaged(table) > MOST_DAMAGED:
            content = b"\n".join(file.read_bytes() for file in _texts(path) if not _trouble(file, path))
            raise wrong_encoding(path, content, data.encoding)
        return table

    def sample(self, path: Path, encoding: str, limit: int) -> list[dict[str, str]]:
        """Return the first texts, as `text`, and their sub-folders, as `label`; see `Source.sample`."""
        records = (record for record in _records(path, encoding, "text", "label") if not record.flaw)
        return [
            {name: repaired(text) for name, text in record.cells.items()} for record in itertools.islice(records, limit)
        ]


def _records(root: Path, encoding: str, input: str, reference: str) -> Iterator[Record]:
    for file in _texts(root):
        parts = file.relative_to(root).parts
        place = "/".join(parts)
        flaw = _trouble(file, root)
        if flaw:
            yield Record(place, {}, flaw)
            continue
        try:
            text = decode(file.read_bytes(), encoding, file)
        except OSError as error:
            yield Record(place, {}, f"a file that cannot be read: {error.strerror}")
        except DataError:
            yield Record(place, {}, DAMAGED)
        else:
            yield Record(place, {input: text, reference: parts[0] if len(parts) > 1 else ""})


def _texts(root: Path) -> list[Path]:
    """Return the texts and the links of a folder, sorted by path."""
    found = []
    for folder, inner, files in os.walk(root, followlinks=False):
        here = Path(folder)
        found += [here / name for name in inner if (here / name).is_symlink()]
        found += [here / name for name in files if name.lower().endswith(ENDINGS)]
    return sorted(found, key=lambda file: file.relative_to(root).parts)


def _trouble(file: Path, root: Path) -> str:
    """Return why a file is not to be read, or ""."""
    if not file.is_symlink():
        return ""
    target = Path(os.path.realpath(file))  # unlike Path.resolve, does not raise where links go round in circles
    if not target.is_relative_to(os.path.realpath(root)):
        return "a symbolic link that leaves the folder"
    return "" if target.is_file() else "a symbolic link to what is no file"


SOURCE = Folder()
