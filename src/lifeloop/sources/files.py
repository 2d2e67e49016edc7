"""From a place in the brief to the bytes of a file, a block at a time, expanded where the file is compressed.

Takes paths relative to the project, gives blocks and fingerprints, and an error that names the file where there is
none to give. Knows nothing of text, rows and columns.
"""

import bz2
import gzip
import hashlib
import lzma
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lifeloop.core.content import Id
from lifeloop.core.errors import DataError
from lifeloop.sources.source import Reading

BLOCK = 1 << 20
"""Bytes that are held at a time."""

COMPRESSED = (".gz", ".bz2", ".xz")
"""Endings of files that are expanded while they are read."""

MOST_EXPANDED = 1 << 30
MOST_RATIO = 200
"""A compressed file that gives more bytes than MOST_EXPANDED and than MOST_RATIO times its own is held for a bomb.
Text seldom shrinks by more than a factor of 20, and gzip cannot shrink anything by more than about 1,030."""

MOST_WINDOW = 256 << 20
"""Bytes that expanding may take: a hundred bytes of .xz can ask for four gigabytes."""

_BROKEN = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


def name_of(place: str, reading: Reading) -> str:
    """Return what rows and errors call a file or folder: its path, relative to the project where it is inside.

    It depends on the place alone, so that rows keep their names when a source is added beside theirs.
    """
    path = Path(os.path.normpath(place))
    root = reading.root.absolute()
    if path.is_absolute() and path.is_relative_to(root) and path != root:
        path = path.relative_to(root)
    return path.as_posix()


def file_at(place: str, reading: Reading) -> Path:
    """Return the path of a file. Raises DataError where there is none that can be read."""
    path = reading.root / place
    name = name_of(place, reading)
    if path.is_dir():
        raise DataError("is a directory, not a file", where=name, fix='mend data.source, or data.format = "folder"')
    if path.exists() and not path.is_file():  # opening a pipe waits, and a device may never end
        raise DataError("is a pipe or a device, not a file", where=name, fix="mend data.source")
    try:
        path.open("rb").close()
    except OSError as error:
        raise _unreadable(name, error) from None
    return path


def fingerprint_of(path: Path, name: str) -> Id:
    """Return the SHA-256 of a file's bytes. Raises DataError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise _unreadable(name, error) from None
    return digest.hexdigest()


def is_compressed(path: Path) -> bool:
    """Return whether a file's ending says that it is to be expanded."""
    return path.suffix.lower() in COMPRESSED


def blocks(path: Path, name: str, offset: int = 0) -> Iterator[bytes]:
    """Yield a file's bytes from an offset on, which is 0 for a compressed one.

    Raises DataError where it cannot be read, is compressed and damaged, or would expand without end.
    """
    try:
        with path.open("rb") as file:
            if is_compressed(path):
                yield from _bounded(_expanded(path, file), file, name)
                return
            file.seek(offset)
            while block := file.read(BLOCK):
                yield block
    except _BROKEN as error:
        what = f"not a compressed file that can be read to its end ({error or 'it was cut short'})"
        fix = "if it is damaged, write or copy it again; if it is not, expand it yourself and name the result"
        raise DataError(what, where=name, fix=fix) from None
    except OSError as error:
        raise _unreadable(name, error) from None


def head_of(path: Path, name: str, size: int = BLOCK) -> bytes:
    """Return the first bytes of a file, expanded, as `blocks` gives them."""
    head = b""
    for block in blocks(path, name):
        head += block
        if len(head) >= size:
            break
    return head[:size]


def _expanded(path: Path, file: IO[bytes]) -> Iterator[bytes]:
    ending = path.suffix.lower()
    if ending == ".gz":
        with gzip.GzipFile(fileobj=file) as expanded:
            while block := expanded.read(BLOCK):
                yield block
        return
    rest, begun = file.read(BLOCK), False
    while rest:
        stream = bz2.BZ2Decompressor() if ending == ".bz2" else lzma.LZMADecompressor(memlimit=MOST_WINDOW)
        try:
            while not stream.eof:
                block = stream.decompress(rest, BLOCK)
                rest = file.read(BLOCK) if stream.needs_input else b""
                if stream.needs_input and not rest and not stream.eof:
                    raise EOFError
                yield block
        except OSError:  # what the bz2 module says of damage
            raise EOFError from None
        begun = True
        rest = (stream.unused_data + rest if rest else stream.unused_data) or file.read(BLOCK)
        rest = rest.lstrip(b"\0") if begun else rest  # .xz may be padded between streams


def _bounded(expanded: Iterator[bytes], file: IO[bytes], name: str) -> Iterator[bytes]:
    compressed = os.fstat(file.fileno()).st_size
    total = 0
    for block in expanded:
        total += len(block)
        if total > MOST_EXPANDED and total > MOST_RATIO * compressed:
            what = f"{compressed:,} bytes that expand to more than {total - len(block):,}: this is no data, or a trap"
            raise DataError(what, where=name, fix="if it is what you want, expand it yourself and name the result")
        yield block


def _unreadable(name: str, error: OSError) -> DataError:
    return DataError(f"cannot be read ({error.strerror or error})", where=name, fix="check data.source")
