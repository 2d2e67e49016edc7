"""From a file's bytes to text, keeping apart what is valid in the declared encoding and what is not.

Takes paths and encodings, gives text in which each byte that could not be decoded is a lone surrogate, so that the
damage stays with its row. Knows nothing of rows and columns.
"""

import codecs
import re
from pathlib import Path

from lifeloop.core.errors import BriefError, DataError

MOST_DAMAGED = 0.2
"""The share of damaged rows above which the encoding is wrong, rather than the rows."""

_DAMAGE = re.compile("[\ud800-\udfff]")
_MARKS = {  # the longer marks first: UTF-32's begins like UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LATIN = {"cp1254", "cp1257", "cp1258", "latin_1", "iso8859_9", "iso8859_13", "iso8859_14", "iso8859_15", "iso8859_16"}


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes. Raises DataError where it is missing, unreadable or empty."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(path), fix="check data.source") from None
    if not data.strip():
        raise DataError("the file is empty", where=path.name, fix="write rows to it, or mend data.source")
    return data


def read_text(path: Path, encoding: str) -> str:
    """Return a file's text without byte-order mark; bytes that are not valid become lone surrogates.

    Raises DataError as `read_bytes` does, and where the whole file is plainly in another encoding.
    """
    data = read_bytes(path)
    _check_marks(path, data, encoding)
    return decode(data, encoding, path)


def decode(data: bytes, encoding: str, path: Path) -> str:
    """Return bytes as text, with lone surrogates for what is not valid. Raises BriefError for an unknown encoding."""
    try:
        return data.decode(encoding, "surrogateescape").removeprefix("\ufeff")
    except LookupError:
        raise BriefError(
            f"there is no encoding {encoding!r}", where="data.encoding", fix='write "utf-8" or "cp1252", say'
        ) from None
    except UnicodeError:
        raise wrong_encoding(path, data, encoding) from None


def is_damaged(text: str) -> bool:
    """Return whether a text holds bytes that could not be decoded."""
    return not text.isascii() and _DAMAGE.search(text) is not None


def repaired(text: str) -> str:
    """Return a damaged text as people can read it and tables can hold it."""
    return _DAMAGE.sub("\ufffd", text)


def wrong_encoding(path: Path, data: bytes, encoding: str) -> DataError:
    """Return the error for a file that is not in the declared encoding, with a guess of what it is in."""
    guess = guess_encoding(data)
    fix = f'set data.encoding = "{guess}"' if guess else "set data.encoding, or save the file as UTF-8"
    return DataError(f"the text is not {encoding}", where=path.name, fix=fix)


def guess_encoding(data: bytes) -> str:
    """Return the encoding that bytes are most likely in, or "" where they are not text at all."""
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return name
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        if b"\0" not in data:
            return "utf-8"
    from charset_normalizer import from_bytes

    best = from_bytes(data[:200_000]).best()
    if best is None:
        return ""
    # The Western code pages differ in letters too rare to tell them by; cp1252 is by far the commonest.
    if best.encoding in _LATIN or "cp1252" in best.could_be_from_charset:
        return "cp1252"
    return best.encoding.replace("_", "-")


def _check_marks(path: Path, data: bytes, encoding: str) -> None:
    """Raise DataError where the first bytes say that the file is in wide characters and the brief says otherwise."""
    if encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
        return
    head = data[:4096]
    if head.startswith(tuple(_MARKS)) or head.count(0) > MOST_DAMAGED * len(head):
        raise wrong_encoding(path, data, encoding)
