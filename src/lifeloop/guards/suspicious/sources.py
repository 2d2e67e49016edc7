"""Sources whose labels disagree with what their texts say far more often than those of other sources.

Takes words, labels and what each row comes from (a file, an annotator, a model), gives the rows whose label such a
source has probably flipped. A source of hard texts is not one of flipped labels: only rows that clearly say something
else count. Knows nothing of files.
"""

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.guards.suspicious.words import Places, Words, presence

LEAST_ROWS = 20
"""Rows of a source, below which nothing is said of it."""
CHANCE = 1e-4
"""The probability that a source as good as the others is suspected."""
TIMES_EXPECTED = 3.0
OWN = 0.8
"""A label of which a source has so much is not looked at in it: there is nothing to compare it with."""
MORE_THAN_EXPECTED = 0.08
"""A source is suspected where so many times as many rows disagree as expected, and so much more of all its rows."""
CLEARLY = 0.25
"""A row disagrees where another label leads by more than this quantile of the lead of labels that are right."""
SMOOTHING = 0.1
MOST_WORK = 300_000_000
"""Words times labels that are looked at; of more rows only as many."""

Floats = NDArray[np.float64]


class Flipped(Struct, frozen=True):
    """The rows of one source that disagree."""

    source: int
    texts: Places
    """Those (n,) that clearly say something else than their label."""
    reads_like: Places
    """The label (n,) that they read like."""
    n_rows: int
    """All rows of the source that were read."""


def flipped(words: Words, labels: Places, sources: Places) -> list[Flipped]:
    """Return what sources have flipped. `labels` and `sources` (n_texts,) are places, a source of -1 is none.

    Each row is read by naive Bayes after training on all others (leaving one out is exact for it). How many rows of a
    source disagree is compared with the number that rows of the same labels from all sources would (a binomial test
    with Bonferroni's correction).
    """
    counts = np.bincount(sources[sources >= 0])
    large = np.flatnonzero(counts >= LEAST_ROWS)
    n_labels = int(labels.max(initial=-1)) + 1
    if not len(large) or counts.max() == len(labels) or n_labels < 2:
        return []
    holds = presence(words)
    read = _those_read(holds, n_labels)
    if len(read) == 0:
        return []
    best, lead = _reading(holds[read], labels[read], n_labels)
    right = lead[lead < 0]
    clearly = -np.quantile(right, 1 - CLEARLY) if len(right) else np.inf
    disagrees = lead > clearly
    return _suspected(read, labels[read], sources[read], large, disagrees, best)


def _those_read(holds: Any, n_labels: int) -> Places:
    """Return the texts that are read: all, or as many of the first as the work allows."""
    most = max(holds.shape[0] * MOST_WORK // max(holds.nnz * n_labels, 1), 0)
    return np.arange(min(holds.shape[0], most))


def _reading(holds: Any, labels: Places, n_labels: int) -> tuple[Places, Floats]:
    """Return the likeliest other label (n,) than a row's own, and by how many nats it leads, below 0 if it does not."""
    from scipy.sparse import csr_matrix

    n = holds.shape[0]
    mine = np.arange(n)
    member = csr_matrix((np.ones(n, dtype=np.float32), (labels, mine)), shape=(n_labels, n))
    counts = np.asarray((member @ holds).todense(), dtype=np.float32)
    totals, sizes = counts.sum(axis=1), np.asarray(holds.sum(axis=1)).ravel()
    n_rows = np.bincount(labels, minlength=n_labels)
    spread = SMOOTHING * holds.shape[1]
    logs = np.log(counts + SMOOTHING) - np.log(totals + spread)[:, None]
    scores = np.asarray(holds @ logs.T) + np.log(np.maximum(n_rows, 0.5))
    entry = np.repeat(mine, np.diff(holds.indptr))
    own_counts = counts[labels[entry], holds.indices] - 1.0
    left_out = np.bincount(entry, np.log(own_counts + SMOOTHING), n)
    left_out -= sizes * np.log(totals[labels] - sizes + spread)
    own = left_out + np.log(np.maximum(n_rows[labels] - 1, 0.5))
    scores[mine, labels] = -np.inf
    best = scores.argmax(axis=1)
    return best, np.asarray(scores[mine, best] - own, dtype=np.float64)


def _suspected(
    read: Places, labels: Places, sources: Places, large: Places, disagrees: NDArray[np.bool_], best: Places
) -> list[Flipped]:
    from scipy.special import bdtrc

    n_of = np.bincount(labels)
    n_disagreeing = np.bincount(labels, disagrees, len(n_of))
    found = []
    for source in large.tolist():
        here = np.flatnonzero(sources == source)
        n_here = np.bincount(labels[here], minlength=len(n_of))
        here = here[(n_here <= OWN * n_of)[labels[here]]]
        if len(here) < LEAST_ROWS:
            continue
        n_here = np.bincount(labels[here], minlength=len(n_of))
        off_here = np.bincount(labels[here], disagrees[here], len(n_of))
        rest = n_of - n_here  # where they are few, what all do with all labels counts as well
        usual = (n_disagreeing.sum() - off_here.sum() + 1) / (len(labels) - len(here) + 2)
        expected = float((n_here * (n_disagreeing - off_here + 5 * usual) / (rest + 5)).sum())
        observed = int(disagrees[here].sum())
        unlikely = bdtrc(observed - 1, len(here), min(expected / len(here), 1.0)) * len(large) < CHANCE
        more = observed >= TIMES_EXPECTED * expected and observed - expected >= MORE_THAN_EXPECTED * len(here)
        if unlikely and more:
            off = here[disagrees[here]]
            found.append(Flipped(source, read[off], best[off], len(here)))
    return found
