"""How large a zip archive is once unpacked, found out before anything that trusts it opens it.

Takes a file and unpacks it into nothing, a block at a time. Workbooks are such archives. Knows nothing of what is
inside.
"""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lifeloop.core.errors import DataError

MOST_BYTES = 4 << 30
"""Unpacked; the fullest sheet of twenty columns that Excel can hold has about a third of it."""
MOST_RATIO = 250
"""Bytes unpacked a byte packed: a million equal rows of XML come to a hundred or so, a bomb to a thousand."""
SMALL = 64 << 20
"""Up to so many bytes unpacked the ratio says nothing."""

_BLOCK = 1 << 20
_HEADER = 30  # bytes before a member's name; its last four are the lengths of the name and of the field after it


def check_unpacked(path: Path, name: str) -> None:
    """Raise DataError where a file is no whole zip archive, or unpacks to far more than any workbook does.

    What an archive says of its own sizes is not believed. `name` is what errors call the file.
    """
    total, packed = 0, path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            for member in archive.infolist():
                for n_bytes in _blocks(file, member):
                    total += n_bytes
                    if total > MOST_BYTES or (total > SMALL and total > MOST_RATIO * packed):
                        said = f"{packed:,} bytes that unpack to more than {total - n_bytes:,}"
                        fix = "it is no workbook that people made; if it is, save the sheet as CSV"
                        raise DataError(f"a zip bomb: {said}", where=name, fix=fix)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        fix = "it is damaged or was cut short: write or copy it again"
        raise DataError(f"not a workbook that can be read ({error})", where=name, fix=fix) from None


def _blocks(file: BinaryIO, member: zipfile.ZipInfo) -> Iterator[int]:
    """Yield the number of bytes in each block that a member unpacks to."""
    file.seek(member.header_offset)
    header = file.read(_HEADER)
    file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
    if member.compress_type == zipfile.ZIP_STORED:
        yield member.compress_size
        return
    if member.compress_type != zipfile.ZIP_DEFLATED:
        raise zipfile.BadZipFile(f"packed by method {member.compress_type}, which no workbook uses")
    left, stream = member.compress_size, zlib.decompressobj(-zlib.MAX_WBITS)
    while not stream.eof:
        block = stream.unconsumed_tail or file.read(min(left, _BLOCK))
        if not stream.unconsumed_tail:
            left -= len(block)
        if not block:
            raise EOFError("it ends too soon")
        yield len(stream.decompress(block, _BLOCK))
