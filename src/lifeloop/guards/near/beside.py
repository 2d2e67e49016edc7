"""Which texts are almost the same as one of some others: a leak, where the others are what judges.

Takes texts, gives places and similarities. Knows nothing of splits.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lifeloop.guards.guard import comparable
from lifeloop.guards.near.candidates import Asked, Places
from lifeloop.guards.near.pairs import near_pairs
from lifeloop.guards.near.sketch import sketches


def near_others(texts: Sequence[str], others: Sequence[str], similarity: float) -> dict[int, tuple[int, float]]:
    """Return the places of the texts that are so similar to one of the others, each with the most similar one's place
    and the similarity, in [0, 1].
    """
    if not texts or not others:
        return {}
    both = [comparable(text) for text in (*texts, *others)]
    n = len(texts)

    def across(left: Places, right: Places) -> NDArray[np.int8]:
        return ((left < n) != (right < n)).astype(np.int8)

    rank = np.concatenate([np.arange(n) + len(others), np.arange(len(others))])
    asked = Asked(similarity, rank, across, lambda places: [both[place] for place in places])
    found: dict[int, tuple[int, float]] = {}
    pairs = near_pairs(sketches(both), asked)
    for left, right, alike in zip(pairs.left.tolist(), pairs.right.tolist(), pairs.similarity.tolist(), strict=True):
        text, other = min(left, right), max(left, right) - n
        if alike > found.get(text, (0, 0.0))[1]:
            found[text] = (other, alike)
    return found
