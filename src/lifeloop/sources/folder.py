"""Rows of a folder: one text a file, and the name of the sub-folder it is in is its label.

Reads *.txt and *.md, in the order of their paths; other files are no texts. Never follows a symbolic link out of the
folder: such a file becomes a flaw.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from lifeloop.core.content import Id, content_id
from lifeloop.core.errors import DataError
from lifeloop.sources.decoding import decode, repaired, wrong_encoding
from lifeloop.sources.files import fingerprint_of, name_of
from lifeloop.sources.rows import DAMAGED, Record, check_columns, chunked
from lifeloop.sources.source import START, Chunk, Entry, Reading

ENDINGS = (".txt", ".md")

MAX_TEXT = 8_000_000
"""Bytes; a larger file is no text of one row."""

SHOWN = 1_000
"""Characters that are left of a file that is too large."""

_ENOUGH = 200_000
"""Bytes of damaged texts that show which encoding they are in."""


class Folder:
    """What `format = "folder"` names."""

    suffixes = ()

    def chunks(self, place: str, reading: Reading, entry: Entry = START) -> Iterator[Chunk]:
        """Yield the texts of a folder; see `Source.chunks`. `data.input` and `data.reference` name nothing here."""
        root, name, data = _root(place, reading), name_of(place, reading), reading.data
        check_columns((data.input, data.reference), data, name)
        records = _records(root, name, data.encoding, data.input, data.reference)
        found = False
        for chunk in chunked(records, data, entry, lambda: _wrong_encoding(root, name, data.encoding)):
            found = True
            yield chunk
        if not found:
            fix = f"put files that end in {' or '.join(ENDINGS)} in it, in one sub-folder a label"
            raise DataError("the folder holds no texts", where=name, fix=fix)

    def fingerprint(self, place: str, reading: Reading) -> Id:
        """Return an id of the names, links and bytes of the texts; see `Source.fingerprint`."""
        root = _root(place, reading)
        return content_id([[os.fsencode(file.relative_to(root)), *_content(file, root)] for file in _texts(root)])

    def sample(self, place: str, reading: Reading, limit: int) -> list[dict[str, str]]:
        """Return the first texts, as `text`, and their sub-folders, as `label`; see `Source.sample`."""
        found = _records(_root(place, reading), name_of(place, reading), reading.data.encoding, "text", "label")
        records = (record for record in found if not record.flaw)
        return [
            {name: repaired(text) for name, text in record.cells.items()} for record in itertools.islice(records, limit)
        ]


def _root(place: str, reading: Reading) -> Path:
    root = reading.root / place
    if not root.is_dir():
        raise DataError("is no folder", where=name_of(place, reading), fix="mend data.source or data.format")
    return root


def _records(root: Path, name: str, encoding: str, input: str, reference: str) -> Iterator[Record]:
    for file in _texts(root):
        parts = file.relative_to(root).parts
        place = Path(name, *parts).as_posix()
        flaw = _trouble(file, root)
        if flaw:
            yield Record(place, {}, flaw)
            continue
        try:
            content = _read(file, MAX_TEXT + 1)
            text = decode(content, encoding, place)
        except OSError as error:
            yield Record(place, {}, f"a file that cannot be read: {error.strerror}")
        except DataError:
            yield Record(place, {}, DAMAGED)
        else:
            if len(content) > MAX_TEXT:
                yield Record(place, {}, "a file that is too large for a text", text[:SHOWN])
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
        return "" if file.is_file() else "a pipe or device, which is no file"
    target = Path(os.path.realpath(file))  # unlike Path.resolve, does not raise where links go round in circles
    if not target.is_relative_to(os.path.realpath(root)):
        return "a symbolic link that leaves the folder"
    return "" if target.is_file() else "a symbolic link to what is no file"


def _content(file: Path, root: Path) -> list[str]:
    """Return what a file's row depends on besides its name: the bytes, or why they are not read."""
    trouble = _trouble(file, root)
    if trouble:
        return [trouble]
    try:
        return [fingerprint_of(file, file.name)]
    except DataError as error:
        return [error.what]


def _wrong_encoding(root: Path, name: str, encoding: str) -> DataError:
    """Return the error for a folder too many of whose texts are damaged."""
    damaged = b""
    for file in _texts(root):
        content = b"" if _trouble(file, root) else _read(file, MAX_TEXT)
        try:
            content.decode(encoding)
        except UnicodeError:
            damaged += content + b"\n"
        if len(damaged) > _ENOUGH:
            break
    return wrong_encoding(name, damaged, encoding)


def _read(file: Path, size: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(size)


SOURCE = Folder()
