"""How much a training row is worth, from signals that cost next to nothing: a score in [0, 1] and what it is low for.

Takes texts, and for labels the texts' vectors; gives numbers. What is low is only ever left out by a setting of the
brief: these are signs, not findings.
"""

import zlib
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LETTERS = "few letters"
REPETITION = "it repeats itself"
LENGTH = "far shorter or longer than the others"
LABEL = "its neighbours have other labels"

NEIGHBOURS = 10
MOST_COMPARED = 20_000
"""Rows that neighbours are looked for among."""
BLOCK = 1024
READ = 4000
"""Characters of a text that are looked at: enough to see, and a longer text compresses better whatever it says."""
USUAL_LETTERS = 0.6
"""Share of letters among what is no space from which a text is taken to be one."""
USUAL_COMPRESSION = 0.35
"""Of its size compressed, below which a text of some length repeats itself: prose keeps 0.4 to 0.6."""


class Quality(Struct, frozen=True):
    """What each row is worth."""

    scores: Floats
    """(n,) in [0, 1]: a row is worth as much as its weakest signal."""
    weakest: tuple[str, ...]
    """The name of that signal, or "" for a score of 1."""


def quality(texts: Sequence[str], vectors: NDArray[np.float32], labels: Sequence[str] | None) -> Quality:
    """Return the scores of rows. `labels` (n) where they are of a fixed set, else None."""
    signals = {LETTERS: _letters(texts), REPETITION: _repetition(texts), LENGTH: _length(texts)}
    if labels is not None:
        signals[LABEL] = credibility(vectors, labels)
    table = np.stack(list(signals.values()))
    names, worst = list(signals), table.argmin(axis=0) if len(texts) else []
    scores = table.min(axis=0) if len(texts) else np.zeros(0)
    weakest = [names[int(row)] if score < 1 else "" for row, score in zip(worst, scores, strict=True)]
    return Quality(scores, tuple(weakest))


def credibility(vectors: NDArray[np.float32], labels: Sequence[str]) -> Floats:
    """Return (n,) how far a row's nearest others agree with its label: 1 where none of them favours another label.

    Otherwise the share of its own label among them, over the share of the commonest one. Neighbours count by their
    cosine; the row itself is no neighbour.
    """
    n = len(labels)
    known, codes = np.unique(np.array(labels, dtype=object), return_inverse=True)
    pool = np.arange(n) if n <= MOST_COMPARED else np.linspace(0, n - 1, MOST_COMPARED).astype(np.intp)
    k = min(NEIGHBOURS, len(pool) - 1)
    if k < 1 or len(known) < 2:
        return np.ones(n)
    scores = np.empty(n)
    for start in range(0, n, BLOCK):
        rows = np.arange(start, min(start + BLOCK, n))
        near = vectors[rows] @ vectors[pool].T
        near[rows[:, None] == pool[None, :]] = -np.inf
        nearest = np.argpartition(-near, k - 1, axis=1)[:, :k]
        weight = np.maximum(np.take_along_axis(near, nearest, axis=1), 0.0)
        votes = np.zeros((len(rows), len(known)))
        np.add.at(votes, (np.arange(len(rows))[:, None], codes[pool[nearest]]), weight)
        own, most = votes[np.arange(len(rows)), codes[rows]], votes.max(axis=1)
        scores[rows] = np.where(most > 0, own / np.where(most > 0, most, 1.0), 1.0)
    return scores


def _letters(texts: Sequence[str]) -> Floats:
    """Return the share of letters in what is no space, up to what is usual; digits count for half."""
    found = []
    for text in texts:
        begin = text[:READ]
        n = len(begin) - sum(map(str.isspace, begin))
        good = sum(map(str.isalpha, begin)) + 0.5 * sum(map(str.isdigit, begin))
        found.append(min(1.0, good / max(1, n) / USUAL_LETTERS))
    return np.array(found, dtype=float)


def _repetition(texts: Sequence[str]) -> Floats:
    """Return how far a text compresses as prose does; 1 for one of less than 200 bytes."""
    found = []
    for text in texts:
        data = text[:READ].encode("utf-8", "replace")
        ratio = len(zlib.compress(data, 6)) / len(data) if len(data) >= 200 else 1.0
        found.append(min(1.0, ratio / USUAL_COMPRESSION))
    return np.array(found, dtype=float)


def _length(texts: Sequence[str]) -> Floats:
    """Return 1 within four robust standard deviations of the median of the logarithm, and less the further beyond."""
    sizes = np.log1p(np.array([len(text) for text in texts], dtype=float))
    if not len(sizes):
        return sizes
    middle = np.median(sizes)
    spread = max(1.4826 * float(np.median(np.abs(sizes - middle))), 0.1)
    return np.asarray(np.minimum(1.0, 4.0 / np.maximum(np.abs(sizes - middle) / spread, 1e-9)))
