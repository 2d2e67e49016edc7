"""Shadow: how two answers to the same request compare, where people saw only one of them.

Takes texts, gives shares. Which of the two is the better it cannot say.
"""

from collections import Counter

from lifeloop.core.content import normalise

VERSION = "1"
"""Changed by hand when the same answers would compare otherwise."""


def same(one: str, other: str) -> bool:
    """Return whether two answers are the same but for case, punctuation and white space."""
    return one == other or normalise(one) == normalise(other)


def similar(one: str, other: str) -> float:
    """Return the share of words that two answers have in common (Dice, 1945); 1 for two empty ones."""
    words, others = Counter(normalise(one).split()), Counter(normalise(other).split())
    total = words.total() + others.total()
    return 2.0 * (words & others).total() / total if total else 1.0
