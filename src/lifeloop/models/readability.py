"""How hard a text is to read: a feature for `engineered`, and an example of one that a package declares.

Takes texts, gives three numbers each: Flesch's reading ease (1948), words a sentence, syllables a word. Syllables are
groups of vowels, which is what the formula was made for in English and near enough to compare texts elsewhere.
"""

import re
from collections.abc import Sequence

_SENTENCE = re.compile(r"[.!?…。]+(?:\s|$)|\n+")
_WORD = re.compile(r"[^\W\d_]+")
_VOWELS = re.compile(r"[aeiouyàáâäåæèéêëìíîïòóôöøùúûü]+", re.IGNORECASE)
READ = 20_000
"""Characters of a text that are looked at."""


def readability(texts: Sequence[str]) -> list[tuple[float, float, float]]:
    """Return for each text its reading ease (100 is easy, 0 hard), words a sentence and syllables a word."""
    return [_measured(text[:READ]) for text in texts]


def _measured(text: str) -> tuple[float, float, float]:
    words = _WORD.findall(text)
    if not words:
        return 0.0, 0.0, 0.0
    n_sentences = max(1, sum(bool(_WORD.search(part)) for part in _SENTENCE.split(text)))
    length = len(words) / n_sentences
    syllables = sum(max(1, len(_VOWELS.findall(word))) for word in words) / len(words)
    return 206.835 - 1.015 * length - 84.6 * syllables, length, syllables
