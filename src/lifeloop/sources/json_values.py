"""The values of a file of JSON, one at a time: one a line, or the elements of one array.

Takes a path, gives each value with its number and where the next one begins, or why it cannot be read. An array is
never held as a whole: it may be larger than memory. Knows nothing of what the values mean.
"""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop.core.errors import DataError
from lifeloop.sources.decoding import check_encoding, check_marks, is_damaged, wrong_encoding
from lifeloop.sources.files import blocks, head_of
from lifeloop.sources.lines import MAX_LINE, TOO_LONG, lines
from lifeloop.sources.rows import DAMAGED
from lifeloop.sources.source import START, Entry

_SPACE = re.compile(r"[ \t\r\n]*")
_AFTER = tuple(",] \t\r\n")
_NEAR_END = 12
"""Characters within which a value may just be cut short: an escape, a literal."""


class Value(Struct, frozen=True):
    """One value of a file."""

    number: int
    """Of its line, or of the element; the first is 1."""
    value: Any
    """What JSON says; None where it cannot be read."""
    flaw: str = ""
    raw: str = ""
    """What stands there."""
    end: Entry | None = None
    """Where the next one begins; None for arrays, which cannot be entered midway."""


def values(path: Path, name: str, encoding: str, entry: Entry = START) -> Iterator[Value]:
    """Yield the values from an entry on.

    Raises DataError where the file cannot be read, and for an array where it is not valid: what stands behind such a
    place cannot be told. A line that is not valid is a flaw of its own. `name` is what errors call the file.
    """
    if entry == START and is_array(path, name, encoding):
        yield from _elements(_texts(path, name, encoding), name)
        return
    for line in lines(path, encoding, entry, name):
        text = line.text.strip()
        if not text:
            continue
        value, flaw = (None, TOO_LONG) if line.cut else _decoded(text)
        yield Value(line.number, value, flaw, text, line.end)


def is_array(path: Path, name: str, encoding: str) -> bool:
    """Return whether a file begins as an array does."""
    check_encoding(encoding)
    head = head_of(path, name, 4096)
    decoded = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    return decoded.lstrip("\ufeff \t\r\n").startswith("[")


def _decoded(text: str) -> tuple[Any, str]:
    if is_damaged(text):
        return None, DAMAGED
    try:
        return msgspec.json.decode(text), ""
    except msgspec.DecodeError as error:
        return None, f"not valid JSON: {error}"
    except RecursionError:
        return None, "JSON that is nested too deeply"


def _texts(path: Path, name: str, encoding: str) -> Iterator[str]:
    """Yield a file's text, a block at a time; bytes that are not valid are lone surrogates."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    block = b""
    try:
        for index, block in enumerate(blocks(path, name)):
            if not index:
                check_marks(block, encoding, name)
            text = decoder.decode(block)
            yield text if index else text.removeprefix("\ufeff")
        yield decoder.decode(b"", final=True)
    except UnicodeError:
        raise wrong_encoding(name, block, encoding) from None


class _Window:
    """The part of a text that is in memory, and the place in it."""

    def __init__(self, texts: Iterator[str]) -> None:
        self.text = ""
        self.place = 0
        self._texts = texts

    def grow(self) -> bool:
        """Read as much again as is unread; return whether there was any."""
        parts = [self.text[self.place :]]
        wanted = max(1, len(parts[0]))
        for text in self._texts:
            parts.append(text)
            wanted -= len(text)
            if wanted <= 0:
                break
        grown = any(parts[1:])
        self.text, self.place = "".join(parts), 0
        return grown

    def next_sign(self) -> str:
        """Go past white space; return the character that follows, or "" at the end."""
        while True:
            self.place = _SPACE.match(self.text, self.place).end()  # type: ignore[union-attr]
            if self.place < len(self.text):
                return self.text[self.place]
            if not self.grow():
                return ""


def _elements(texts: Iterator[str], name: str) -> Iterator[Value]:
    window = _Window(texts)
    window.next_sign()
    window.place += 1  # the bracket, which `is_array` has seen
    number = 0
    sign = window.next_sign()
    while sign != "]":
        number += 1
        value, raw = _element(window, name, number)
        yield Value(number, None, DAMAGED, raw) if is_damaged(raw) else Value(number, value, "", raw)
        sign = window.next_sign()
        if sign == ",":
            window.place += 1
            sign = window.next_sign()
            if sign == "]":
                raise _broken(name, f"a comma after the last element, {number}")
        elif sign != "]":
            raise _broken(name, f"it ends after element {number}" if not sign else f"no comma after element {number}")
    window.place += 1
    if window.next_sign():
        raise _broken(name, f"something follows the array of {number} elements")


def _element(window: _Window, name: str, number: int) -> tuple[Any, str]:
    """Return the value that begins at the window's place, and its text."""
    decoder = json.JSONDecoder()  # unlike msgspec's, it says where a value ends
    while True:
        try:
            value, end = decoder.raw_decode(window.text, window.place)
        except RecursionError:
            raise _broken(name, f"element {number} is nested too deeply") from None
        except json.JSONDecodeError as error:
            cut = error.msg.startswith("Unterminated string") or error.pos >= len(window.text) - _NEAR_END
            if not cut:
                raise _broken(name, f"element {number}: {error.msg}") from None
        except ValueError as error:  # a number of thousands of digits
            raise _broken(name, f"element {number}: {error}") from None
        else:
            if window.text[end - 1] in '}]"' or window.text[end : end + 1] in _AFTER:  # else a number may go on
                raw = window.text[window.place : end]
                window.place = end
                return value, raw
        if len(window.text) - window.place > MAX_LINE:
            raise _broken(name, f"element {number} is longer than {MAX_LINE:,} characters")
        if not window.grow():
            raise _broken(name, f"it ends in the middle of element {number}")


def _broken(name: str, what: str) -> DataError:
    fix = "write it again, or as JSON Lines, one object a line: then one broken row does not spoil the others"
    return DataError(f"not a whole JSON array: {what}", where=name, fix=fix)
