"""Withholds answers that repeat the secret word of the system prompt, however it is spelt out.

Case, spaces, punctuation and invisible characters between its letters make no difference, nor does the full-width form;
it is also known backwards, in ROT13, in hexadecimal and inside base64. Knows nothing of how the word got there.
"""

import base64
import codecs
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from msgspec import Struct

from lifeloop.filters.filter import About

REPEATED = "it repeats a secret of its system prompt"
_NO_LETTER = re.compile(r"[\W_]+")  # letters of other scripts stay: they are no mere filling
_NO_BASE64 = re.compile(r"[^\w+/]+")


class _Needles(Struct, frozen=True):
    """What is looked for in a text after a change to it."""

    change: Callable[[str], str]
    whole: tuple[str, ...]
    beginnings: frozenset[str]
    longest: int


class Canary:
    """Looks for the word that the system prompt holds."""

    what = frozenset({"output"})

    def __init__(self, argument: str = "") -> None:
        del argument

    def check(self, text: str, about: About, whole: bool) -> str:
        """Return why a text may not pass."""
        del whole  # half of the word is not the word
        for needles in _needles(about.canary) if about.canary else ():
            changed = needles.change(text)
            if any(needle in changed for needle in needles.whole):
                return REPEATED
        return ""

    def open(self, text: str, about: About) -> int:
        """Return where the beginning of the word may stand at the text's end."""
        found = len(text)
        for needles in _needles(about.canary) if about.canary else ():
            found = min(found, _begun(text, needles))
        return found


def _begun(text: str, needles: _Needles) -> int:
    """Return where the longest end of the text begins that is the beginning of a needle."""
    changed = needles.change(text)
    tail = changed[-needles.longest :]
    for size in range(len(tail), 0, -1):
        if tail[-size:] in needles.beginnings:
            return _back(text, size, needles.change)
    return len(text)


def _back(text: str, size: int, change: Callable[[str], str]) -> int:
    """Return from where on a text has that many characters after the change."""
    place = len(text)
    while size > 0 and place > 0:
        place -= 1
        size -= len(change(text[place]))
    return place


def _letters(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return _NO_LETTER.sub("", text.casefold())


def _base64(text: str) -> str:
    return _NO_BASE64.sub("", text)


@lru_cache(maxsize=8)
def _needles(word: str) -> tuple[_Needles, _Needles]:
    low = word.lower()
    spellings = dict.fromkeys((word, low, word.upper(), word.capitalize()))
    letters = [low, low[::-1], codecs.encode(low, "rot13"), *(each.encode().hex() for each in spellings)]
    coded = [inside for each in spellings for inside in _inside_base64(each.encode())]
    return _needles_of(_letters, letters), _needles_of(_base64, coded)


def _needles_of(change: Callable[[str], str], needles: list[str]) -> _Needles:
    beginnings = frozenset(needle[:size] for needle in needles for size in range(1, len(needle)))
    return _Needles(change, tuple(dict.fromkeys(needles)), beginnings, max(map(len, needles)) - 1)


def _inside_base64(data: bytes) -> list[str]:
    """Return what base64 makes of bytes inside a longer text: by their place in it there are three ways (RFC 4648)."""
    found = []
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + data).decode().rstrip("=")
        start = -(-shift * 8 // 6)  # letters that hold bits of what stands before
        end = (shift + len(data)) * 8 // 6  # and those that hold bits of what comes after
        found.append(text[start:end])
    return found
