"""Which rows to label next? Those that a model is least sure of, of many alike one, and so that they differ.

Takes a pool of rows without labels and what a model makes of them, gives a short list in which each says why it is
there. Knows nothing of models, and reads no dataset.
"""

from collections.abc import Callable, Collection, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.content import fraction, normalise
from lifeloop.stats import diversity

UNSURE = 10
"""Of so many times the rows that are wanted, the least sure ones, the list is drawn: Zhdanov (2019) takes as many."""
MOST_CLUSTERED = 20_000
"""Rows that are clustered at most; where no model is unsure, a sample of the pool."""
SAME = 0.95
"""Cosine from which two texts are taken to say the same."""

VectorsOf = Callable[[Sequence[str]], NDArray[np.float32]]


class Pooled(Struct, frozen=True):
    """A row without a label."""

    id: str
    source: str
    """`FILE:ROW`, or `event:ID`."""
    input: str
    group: str = ""
    slices: dict[str, str] = {}
    event: str = ""
    """The event that it came in by, or ""."""


class Guess(Struct, frozen=True):
    """What a model makes of a row."""

    label: str
    confidence: float | None
    other: str = ""
    """The second label, where the model says which."""
    other_confidence: float = 0.0

    @property
    def unsure(self) -> float:
        """From 0 to 1: how far the second label comes up to the first; without it, how far confidence is from 1."""
        if self.confidence is None:
            return 1.0
        return max(0.0, min(1.0, 1.0 - (self.confidence - self.other_confidence)))


class Proposed(Struct, frozen=True):
    """A row that is worth a label."""

    row: Pooled
    suggestion: str
    """The label that the model gives it, or ""."""
    confidence: float | None
    why: str
    alike: int
    """Rows of the pool that it stands for, beside itself: repeats and near repeats."""


class Shortlist(Struct, frozen=True):
    """The rows to label next, the most telling first."""

    rows: tuple[Proposed, ...]
    n_pool: int
    n_known: int
    """Rows of the pool whose text the dataset has already."""
    n_repeats: int
    """Rows of the pool that repeat another."""


def shortlist(
    pool: Sequence[Pooled],
    guesses: Sequence[Guess] | None,
    known: Collection[str],
    vectors_of: VectorsOf,
    n: int,
    seed: int,
) -> Shortlist:
    """Return at most n rows of the pool. `guesses` are one a row, or None where there is no model to be unsure.

    `known` are normalised texts that have labels; `vectors_of` gives unit vectors (n, d) of texts.
    """
    firsts, repeats, n_known = _once(pool, known)
    unsure = {place: guesses[place].unsure if guesses else 1.0 for place in firsts}
    order = sorted(firsts, key=lambda place: (-unsure[place], fraction(normalise(pool[place].input), seed)))
    order = order[: UNSURE * n if guesses else MOST_CLUSTERED][:MOST_CLUSTERED]
    if not order:
        return Shortlist((), len(pool), n_known, sum(repeats.values()))
    vectors = vectors_of([pool[place].input for place in order])
    leaders = diversity.first_of_alike(vectors, range(len(order)), SAME)
    for row, leader in enumerate(leaders):
        if leader != row:
            repeats[order[int(leader)]] += 1 + repeats.pop(order[row])
    kept = [row for row, leader in enumerate(leaders) if leader == row]
    weights = np.array([unsure[order[row]] for row in kept])
    places, clusters = diversity.representatives(vectors[kept], weights, n, seed)
    sizes = np.bincount(clusters, minlength=len(places))
    rows = []
    for rank, place in enumerate(places):
        at = order[kept[place]]
        guess = guesses[at] if guesses else None
        rows.append(
            Proposed(
                row=pool[at],
                suggestion=guess.label if guess else "",
                confidence=guess.confidence if guess else None,
                why=_why(guess, int(sizes[rank]), repeats[at]),
                alike=repeats[at],
            )
        )
    return Shortlist(tuple(rows), len(pool), n_known, sum(repeats.values()))


def _once(pool: Sequence[Pooled], known: Collection[str]) -> tuple[list[int], dict[int, int], int]:
    """Return the places of texts at their first appearance, how often each is repeated, and how many are known."""
    first: dict[str, int] = {}
    repeats: dict[int, int] = {}
    n_known = 0
    for place, row in enumerate(pool):
        text = normalise(row.input)
        if text in known or not text:
            n_known += 1
        elif text in first:
            repeats[first[text]] += 1
        else:
            first[text] = place
            repeats[place] = 0
    return list(first.values()), repeats, n_known


def _why(guess: Guess | None, n_near: int, n_alike: int) -> str:
    """Return in a line what a label for this row would teach."""
    reasons = []
    if guess is None or guess.confidence is None:
        reasons.append("differs from the others that were chosen")
    elif guess.other:
        reasons.append(
            f"unsure between {guess.label} ({guess.confidence:.2f}) and {guess.other} ({guess.other_confidence:.2f})"
        )
    else:
        reasons.append(f"unsure: {guess.label} with {guess.confidence:.2f}")
    if n_near > 1:
        reasons.append(f"stands for {n_near - 1} such texts near it")
    if n_alike:
        reasons.append(f"comes {n_alike + 1} times")
    return "; ".join(reasons)
