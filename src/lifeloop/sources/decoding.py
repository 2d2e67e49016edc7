"""From a file's bytes to text, keeping apart what is valid in the declared encoding and what is not.

Takes bytes and encodings, gives text in which each byte that could not be decoded is a lone surrogate, so that the
damage stays with its row. Knows nothing of rows and columns.
"""

import codecs
import re

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
_WESTERN = frozenset("éèêëàâäáãåæçîïíìñöôóòõøùûüúßœÉÈÊÀÂÄÅÆÇÎÑÖÔØÜŒ–—‘’“”„…•€£«»°©®™´¿¡·§\u00a0")
_LATIN = {"cp1254", "cp1257", "cp1258", "latin_1", "iso8859_9", "iso8859_13", "iso8859_14", "iso8859_15", "iso8859_16"}


def decode(data: bytes, encoding: str, name: str) -> str:
    """Return bytes as text without byte-order mark, with lone surrogates for what is not valid.

    Raises BriefError for an unknown encoding, DataError for one in which damage cannot be told from text.
    """
    check_encoding(encoding)
    try:
        return data.decode(encoding, "surrogateescape").removeprefix("\ufeff")
    except UnicodeError:
        raise wrong_encoding(name, data, encoding) from None


def check_encoding(encoding: str) -> None:
    """Raise BriefError where there is no such encoding."""
    try:
        "\r\n".encode(encoding)
    except (LookupError, UnicodeError):
        raise BriefError(
            f"there is no encoding {encoding!r}", where="data.encoding", fix='write "utf-8" or "cp1252", say'
        ) from None


def check_marks(head: bytes, encoding: str, name: str) -> None:
    """Raise DataError where the first bytes say that a file is in wide characters and the brief says otherwise."""
    if is_wide(encoding):
        return
    first = head[:4096]
    if first.startswith(tuple(_MARKS)) or first.count(0) > MOST_DAMAGED * len(first):
        raise wrong_encoding(name, head, encoding)


def is_wide(encoding: str) -> bool:
    """Return whether an encoding ends lines with other bytes than ASCII does: UTF-16, UTF-32, EBCDIC."""
    ends = "\r\n".encode(encoding)
    return ends.removeprefix(codecs.BOM_UTF8) != b"\r\n"


def is_damaged(text: str) -> bool:
    """Return whether a text holds bytes that could not be decoded."""
    return not text.isascii() and _DAMAGE.search(text) is not None


def repaired(text: str) -> str:
    """Return a damaged text as people can read it and tables can hold it."""
    return text if text.isascii() else _DAMAGE.sub("\ufffd", text)


def wrong_encoding(name: str, data: bytes, encoding: str) -> DataError:
    """Return the error for a file that is not in the declared encoding, with a guess from its bytes, or its first."""
    guess = guess_encoding(data)
    fix = f'set data.encoding = "{guess}"' if guess else "set data.encoding, or save the file as UTF-8"
    return DataError(f"the text is not {encoding}", where=name, fix=fix)


def guess_encoding(data: bytes) -> str:
    """Return the encoding that bytes are most likely in, or "" where they are not text at all."""
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return name
    try:  # what stands at the end may be the beginning of a character, where these are a file's first bytes
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        pass
    else:
        if b"\0" not in data:
            return "utf-8"
    if _reads_as_western(data[:200_000]):
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(data[:200_000]).best()
    if best is None:
        return ""
    # The Western code pages differ in letters too rare to tell them by; cp1252 is by far the commonest.
    if best.encoding in _LATIN or "cp1252" in best.could_be_from_charset:
        return "cp1252"
    return best.encoding.replace("_", "-")


def _reads_as_western(data: bytes) -> bool:
    """Return whether bytes are a Western text in Windows' code page: few letters beyond ASCII, and all usual ones.

    In Cyrillic or Greek code pages, which use the same bytes, nearly every letter is beyond ASCII.
    """
    beyond = [letter for letter in data.decode("cp1252", "replace") if ord(letter) > 127]
    usual = sum(letter in _WESTERN for letter in beyond)
    letters = sum(chr(byte).isalpha() for byte in data if byte < 128)
    return 0 < len(beyond) < 0.3 * letters and usual >= 0.95 * len(beyond)
