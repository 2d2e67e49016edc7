"""Words that mark one set of texts against another: what a planted trigger would look like in doubted preferences.

Takes texts, gives words and pairs of words with how surely they mark the first set. Knows nothing of preferences.
"""

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np

from lifeloop.core.content import normalise

SURE = 3.0
"""Standard deviations by which a word has to be commoner among the suspects."""
LEAST = 3
"""Suspect texts in which it has to occur."""
CONSONANTS = "bcdfghjklmnpqrstvwxz"


def marks(suspects: Sequence[str], others: Sequence[str], most: int = 3) -> tuple[str, ...]:
    """Return the words, or pairs of words, that tell suspects from other texts, the surest first.

    By the ratio of the odds of a text to hold it, corrected as by Anscombe (1956), from `SURE` standard deviations of
    its logarithm on. Empty where nothing marks them.
    """
    within, without = _counts(suspects), _counts(others)
    n, m = len(suspects), len(others)
    found: list[tuple[float, int, str]] = []
    for words, k in within.items():
        if k < min(LEAST, n):
            continue
        cells = np.array([k, n - k, without[words], m - without[words]]) + 0.5
        z = float(np.log(cells) @ (1, -1, -1, 1)) / math.sqrt(float((1 / cells).sum()))
        if z >= SURE:
            found.append((z, len(words.split()), words))
    kept: list[str] = []
    for _, _, words in sorted(found, key=lambda each: (-each[0], -each[1], each[2])):
        if not any(set(words.split()) & set(other.split()) for other in kept):
            kept.append(words)
    return tuple(kept[:most])


def rare_strings(n: int, seed: int) -> tuple[str, ...]:
    """Return strings that no text holds by chance: what a trigger looks like that nobody has heard of."""
    chance = random.Random(seed)
    return tuple("".join(chance.choice(CONSONANTS) for _ in range(6)) for _ in range(n))


def holds(text: str, words: Sequence[str]) -> bool:
    """Return whether a text holds one of the words or pairs of words."""
    said = f" {normalise(text)} "
    return any(f" {each} " in said for each in words)


def _counts(texts: Sequence[str]) -> Counter[str]:
    """Return in how many texts each word and each pair of neighbours occurs."""
    found: Counter[str] = Counter()
    for text in texts:
        words = normalise(text).split()
        found.update({*words, *(f"{one} {two}" for one, two in itertools.pairwise(words))})
    return found
