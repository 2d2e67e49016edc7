"""Text as it stands on a page: what can be printed at all, how wide it is, and how to shorten it.

Knows nothing of what the text says.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence

EM = 11.5
"""Size of the letters in a figure, in pixels."""

_NARROW_LETTER = 0.61 * EM
"""Width of a letter of the usual equal-width fonts."""


def printable(text: str) -> str:
    """Return the text without what no page may hold: control characters and halves of surrogate pairs become �."""
    return "".join(letter if _may_stand(letter) else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _may_stand(letter: str) -> bool:
    if letter in "\t\n":
        return True
    return unicodedata.category(letter) not in ("Cc", "Cs") and (ord(letter) & 0xFFFE) != 0xFFFE


def one_line(text: str) -> str:
    """Return printable text with all its white space as single spaces."""
    return " ".join(printable(text).split())


def pixels(text: str) -> float:
    """Return a width that the text does not exceed in an equal-width font of the figures' size, in pixels."""
    return sum(_letter_width(letter) for letter in text)


def _letter_width(letter: str) -> float:
    if letter.isascii() or letter in "…−–—·×":
        return _NARROW_LETTER
    return 1.1 * EM if unicodedata.east_asian_width(letter) in "WF" else 0.75 * EM


def shortened(text: str, width: float) -> str:
    """Return the text cut in its middle, where two names differ least, to be at most so many pixels wide."""
    line = one_line(text)
    if pixels(line) <= width:
        return line
    front, back = "", ""
    room = width - pixels("…")
    rest = line
    while rest:
        from_front = len(front) <= len(back)
        letter = rest[0] if from_front else rest[-1]
        if pixels(front) + pixels(back) + _letter_width(letter) > room:
            break
        front, back = (front + letter, back) if from_front else (front, letter + back)
        rest = rest[1:] if from_front else rest[:-1]
    return f"{front}…{back}"


def short_names(names: Sequence[str], width: float) -> list[str]:
    """Return the names cut to be at most so many pixels wide; those that become the same get their number before."""
    short = [shortened(name, width) for name in names]
    counts = Counter(short)
    numbered = []
    for number, (name, text) in enumerate(zip(names, short, strict=True), 1):
        before = f"{number}. " if counts[text] > 1 else ""
        numbered.append(before + shortened(name, width - pixels(before)))
    return numbered


def columns(text: str) -> int:
    """Return how many columns a line takes in a terminal or a code block."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def padded(text: str, width: int) -> str:
    """Return the line filled with spaces to so many columns."""
    return text + " " * max(0, width - columns(text))
