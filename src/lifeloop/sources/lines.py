"""The lines of a file, one at a time, each with where the next one begins.

Takes a path and an encoding, gives text in which undecodable bytes are lone surrogates (see decoding.py). Whatever the
file, a bounded number of its bytes is held. Knows nothing of what stands in a line.
"""

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from lifeloop.core.errors import DataError
from lifeloop.sources.decoding import MOST_DAMAGED, check_encoding, check_marks, is_wide, wrong_encoding
from lifeloop.sources.files import blocks, is_compressed
from lifeloop.sources.source import START, Entry

MAX_LINE = 8_000_000
"""Bytes; a longer line is cut, for no row is that long."""

TOO_LONG = "a line that is too long"
"""The flaw of a row whose line was cut."""

SHOWN = 1_000
"""Characters that are left of a line that is cut."""


class Line(Struct, frozen=True):
    """One line of a file."""

    text: str
    """With its end (\\n, \\r\\n or \\r), where it has one; without the file's byte-order mark."""
    number: int
    """The first is 1."""
    end: Entry | None
    """Where the next line begins; None for files that cannot be entered midway: compressed, or in wide characters."""
    cut: bool = False
    """Whether it was longer than MAX_LINE, so that `text` is only how it begins."""


def lines(path: Path, encoding: str, entry: Entry = START, name: str = "") -> Iterator[Line]:
    """Yield the lines from an entry on; only \\n, \\r and \\r\\n end one. `name` is what errors call the file.

    Raises DataError where the file cannot be read, holds nothing but white space or is plainly in another encoding,
    BriefError for an encoding that does not exist.
    """
    name = name or path.name
    check_encoding(encoding)
    wide = is_wide(encoding)
    found = blocks(path, name, entry.offset)
    if entry == START:
        found = _checked(found, encoding, name)
    if wide:
        found = _transcoded(found, encoding, name)
    written = "utf-8" if wide or codecs.lookup(encoding).name == "utf-8-sig" else encoding
    midway = not wide and not is_compressed(path)
    offset, number, empty = entry.offset, entry.lines, entry == START
    for piece, dropped in _pieces(found):
        offset += len(piece) + dropped
        number += 1
        cut = len(piece) + dropped > MAX_LINE
        if cut:
            text = piece[: 4 * SHOWN].decode(written, "replace")[:SHOWN]
        else:
            try:
                text = piece.decode(written, "surrogateescape")
            except UnicodeError:
                raise wrong_encoding(name, piece, encoding) from None
        if number == 1:
            text = text.removeprefix("\ufeff")
        empty = empty and not text.strip()
        yield Line(text, number, Entry(offset, number) if midway else None, cut)
    if empty:
        raise DataError("the file is empty", where=name, fix="write rows to it, or mend data.source")


def damage_in(path: Path, encoding: str, name: str) -> DataError:
    """Return the error for a file too many of whose rows are damaged, with a guess from its first bytes that are."""
    decoder = codecs.getincrementaldecoder(encoding)()
    for block in blocks(path, name):
        try:
            decoder.decode(block)
        except UnicodeError as error:
            start = error.start if isinstance(error, UnicodeDecodeError) else 0
            return wrong_encoding(name, block[max(0, start - 1000) :], encoding)
    return DataError(
        f"more than {MOST_DAMAGED:.0%} of the rows are not {encoding}", where=name, fix="set data.encoding"
    )


def _checked(found: Iterator[bytes], encoding: str, name: str) -> Iterator[bytes]:
    """Yield blocks, of which the first is checked for the marks of another encoding."""
    for index, block in enumerate(found):
        if not index:
            check_marks(block, encoding, name)
        yield block


def _transcoded(found: Iterable[bytes], encoding: str, name: str) -> Iterator[bytes]:
    """Yield blocks of wide characters as UTF-8, in which lines end with the bytes that ASCII ends them with."""
    decoder = codecs.getincrementaldecoder(encoding)()
    block = b""
    try:
        for block in found:
            yield decoder.decode(block).encode("utf-8", "surrogatepass")
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError:
        raise wrong_encoding(name, block, encoding) from None


def _pieces(found: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield each line with its end, and how many bytes were left out of it because it is longer than MAX_LINE."""
    rest, dropped = b"", 0
    for block in found:
        pieces = (rest + block).splitlines(keepends=True)
        rest = b""
        if pieces and not pieces[-1].endswith(b"\n"):  # with \r it may still go on
            rest = pieces.pop()
        for piece in pieces:
            yield piece, dropped
            dropped = 0
        if len(rest) + dropped > MAX_LINE and len(rest) > 4 * SHOWN + 1:
            dropped += len(rest) - 4 * SHOWN - 1
            rest = rest[: 4 * SHOWN] + rest[-1:]  # the last byte may be a \r
    if rest:
        yield rest, dropped
