"""Everything is named by its content: ids of bytes and of frozen values, and stable hashes of text.

Knows nothing of where content is kept (that is the vault) or when a stage runs (that is the lifecycle).
"""

import hashlib
import itertools
import re
import unicodedata
from typing import Any

import msgspec

Id = str  # 64 hexadecimal digits of SHA-256

_sorted = msgspec.json.Encoder(order="sorted").encode
_SPACE = re.compile(r"\s+")
_NOT_WORD = re.compile(r"[^\w\s]+")
_TO_ASCII_WORDS = "".join(
    chr(code).lower() if chr(code).isalnum() or chr(code) == "_" else " " for code in range(128)
).encode() + bytes(128)  # what each ASCII character becomes: all but letters, digits and _ stand between words


def canonical(value: Any) -> bytes:
    """Return the one JSON text of a value: keys sorted, no white space, so that equal values give equal bytes."""
    return _sorted(value)


def content_id(value: Any) -> Id:
    """Return the id of a frozen value or of JSON-like data: SHA-256 of its canonical JSON."""
    return bytes_id(canonical(value))


def bytes_id(data: bytes) -> Id:
    """Return the id of raw bytes: their SHA-256."""
    return hashlib.sha256(data).hexdigest()


def short(identifier: Id) -> str:
    """Return the first 12 digits, which people read and commands accept."""
    return identifier[:12]


def normalise(text: str) -> str:
    """Return the text as duplicates are compared: NFKC, case-folded, without punctuation, single spaces.

    A text of punctuation alone keeps it, so that "?!" and "..." are not the same text.
    """
    if text.isascii():  # the same, five times as fast: no character there composes, folds to several or is a mark
        words = b" ".join(text.encode().translate(_TO_ASCII_WORDS).split()).decode()
        return words or _SPACE.sub(" ", text).strip()
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = _SPACE.sub(" ", _NOT_WORD.sub(_without_punctuation, folded)).strip()
    return words or _SPACE.sub(" ", folded).strip()


def _without_punctuation(run: re.Match[str]) -> str:
    """Return the marks with which a run begins that belong to the letter before it, then a space.

    Marks are no word characters to `re`, but many scripts write their vowels as marks (Hindi, Thai).
    """
    follows_letter = run.start() > 0 and not run.string[run.start() - 1].isspace()
    marks = "".join(itertools.takewhile(_is_mark, run.group())) if follows_letter else ""
    return marks if len(marks) == len(run.group()) else f"{marks} "


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def fraction(key: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on the key and the seed alone: the same today and in a year."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, salt=seed.to_bytes(8, "little"))
    return (int.from_bytes(digest.digest(), "little") >> 11) / 2.0**53  # 53 bits: never rounds up to 1.0
