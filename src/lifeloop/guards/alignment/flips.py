"""Pairs whose order is probably the wrong one, and how many of those that are left are.

Takes how pairs read to a model that has not seen them, gives the least credible ones, never many: what honest raters
differ about is no mistake. The rest is for a loss that allows for wrong pairs. Knows nothing of words.
"""

import numpy as np
from scipy import special

from lifeloop.guards.alignment.reading import Reading
from lifeloop.guards.alignment.table import Flags, Places, Table
from lifeloop.stats.agreement import Reliability

CREDIBLE = 0.25
"""An order that is as probable as this may be right, whatever the others are."""
LEAST_VOTES = 30
"""Votes on pairs that were judged twice, from which it can be said how often raters are wrong on the whole."""
MOST_RATE = 0.45
"""A loss for pairs of which half are wrong would learn nothing."""


def find_flips(reading: Reading, left: Flags, most: float) -> Places:
    """Return the pairs among those `left` (n,) whose order is not credible, the least credible first.

    Confident learning (Northcutt, Jiang and Chuang, 2021) for two classes that are each other turned round: the other
    order is at least as probable as a given one is on the whole. At most the share `most` of the pairs.
    """
    credible = special.expit(reading.margin)
    wrong = _wrong(reading, left) & (credible < CREDIBLE)
    places = np.flatnonzero(wrong)
    order = np.lexsort((places, np.round(credible[places], 9)))
    return places[order][: int(most * (left & reading.known).sum())]


def flip_rate(table: Table, reading: Reading, known: Reliability, left: Flags, flips: Places) -> float | None:
    """Return the estimated share of wrong orders among pairs `left` (n,) without `flips`; None where nothing tells it.

    How many there are in all is told by how reliable the raters of each pair are, where enough pairs were judged twice,
    and by confident learning where not. Those taken out are subtracted, each as far as it is improbable.
    """
    pairs = left & table.is_pair
    n = int(pairs.sum())
    if known.n_votes.sum() >= LEAST_VOTES:
        reliable = np.array([*known.of_rater, known.mean])[table.rater[pairs]]
        n_wrong = float((1.0 - reliable).sum())
    elif reading.n_read:
        n_wrong = float(_wrong(reading, pairs).sum())
    else:
        return None
    n_wrong -= float(special.expit(-reading.margin[flips]).sum())
    return float(np.clip(n_wrong / max(n - len(flips), 1), 0.0, MOST_RATE))


def _wrong(reading: Reading, among: Flags) -> Flags:
    """Return which pairs confident learning takes to be turned round."""
    known = among & reading.known
    if not known.any():
        return np.zeros(len(among), dtype=np.bool_)
    usual = float(special.expit(reading.margin[known]).mean())
    return known & (special.expit(-reading.margin) >= max(usual, 0.5))
