"""The words just before a find, which say what a bare number is. Knows nothing of kinds of personal data."""

import re
from functools import lru_cache

Span = tuple[int, int]
"""The first character of a find, and the one after its last."""

NEAR = 48
"""Characters before a find in which a word may say what it is."""

_LINKS = (
    r"(?:number|numbers|no|nr|num|nummer|numéro|número|id|code|is|are|was|ist|est|es|on|at|under|of|me|us|him|her|them|the|my|our|"
    r"your)"
)


def called(words: str, text: str, start: int) -> bool:
    """Say whether one of the words (a pattern) stands near before a place, in the same sentence."""
    near = text[max(0, start - NEAR) : start]
    return bool(_anywhere(words).search(re.split(r"[.!?]\s|\n\n", near)[-1]))


def miscalled(words: str, text: str, start: int) -> bool:
    """Say whether one of the words, or a sign of money or number, stands right before a place."""
    near = text[max(0, start - NEAR) : start]
    return near.rstrip().endswith(("#", "$", "£", "€", "¥", "№")) or bool(_right_before(words).search(near))


def hit(words: str, text: str, start: int) -> bool:
    """Say whether one of the words stands right before a place."""
    return bool(_right_before(words).search(text[max(0, start - NEAR) : start]))


@lru_cache(maxsize=128)
def _anywhere(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?i)\b(?:{words})\b")


@lru_cache(maxsize=128)
def _right_before(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?i)(?<![^\W_])(?:{words})s?(?:[\W_]{{1,3}}{_LINKS}){{0,3}}[\W_]{{0,3}}\Z")
