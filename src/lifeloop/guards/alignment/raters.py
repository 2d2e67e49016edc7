"""Raters who are not reliable: who say something else than others of the same pairs, or go against what all prefer.

Takes preferences, gives how reliable each rater is and who is set aside. Overlaps tell it best; a quick model of what all
prefer tells it of those who judged no pair that others did. Knows nothing of words.
"""

import numpy as np
from msgspec import Struct
from scipy import special

from lifeloop.core.preferences_brief import Trust
from lifeloop.guards.alignment.reading import Reading
from lifeloop.guards.alignment.table import Flags, Floats, Table
from lifeloop.stats.agreement import Reliability, reliability
from lifeloop.stats.proportions import clopper_pearson

SURE = 0.95
"""The probability with which a rater must be less reliable than asked for."""
SURE_BY_MODEL = 0.99
LEAST_BY_MODEL = 15
"""Pairs from which a rater is judged by the quick model."""
LEAST_KNOWN = 0.6
"""Below this, the model is right too seldom to judge anybody."""
USUAL = 0.9
"""What raters are taken to be where no pair was judged twice."""
LEAST_VOTES = 30
"""Votes on pairs that were judged twice, from which it can be said what raters are on the whole."""


class Unreliable(Struct, frozen=True):
    """A rater to set aside."""

    rater: int
    detail: str


def overlaps(table: Table, left: Flags) -> Reliability:
    """Return how reliable raters are by what several of them said of the same, among what is `left` (n,).

    A rater who judged the same pair twice has one vote there.
    """
    named = np.flatnonzero(left & (table.rater >= 0))
    codes = table.item[named] * (len(table.raters) + 1) + table.rater[named]
    once = named[np.unique(codes, return_index=True)[1]]
    return reliability(table.item[once], table.rater[once], table.vote[once], len(table.raters))


def by_overlaps(known: Reliability, settings: Trust) -> list[Unreliable]:
    """Return raters who are, with SURE, less reliable than `settings.min_reliability`."""
    below = known.below(settings.min_reliability)
    found = []
    for rater in np.flatnonzero((below >= SURE) & (known.n_votes >= settings.min_overlaps)).tolist():
        right, n = known.right[rater], known.n_votes[rater]
        said = "says the opposite of the others" if known.of_rater[rater] < 0.3 else "is right too seldom"
        found.append(Unreliable(rater, f"{said}: {right:.1f} of {n} pairs that others judged too"))
    return found


def by_model(table: Table, reading: Reading, left: Flags, known: Reliability, settings: Trust) -> list[Unreliable]:
    """Return raters who go against the quick model so often that they are less reliable than asked for.

    How often a reliable rater would agree is told from the model's own confidence, pair by pair, so that whoever has the
    hard ones is not blamed for it. The upper limit of an exact binomial interval counts, at SURE_BY_MODEL and with
    Bonferroni's correction; where the model knows little, it suspects nobody.
    """
    usual = known.mean if known.n_votes.sum() >= LEAST_VOTES else USUAL
    truth = truth_by_model(reading, usual)
    judged = left & reading.known & (table.rater >= 0)
    if not judged.any() or truth[judged].mean() < LEAST_KNOWN:
        return []
    raters, counts = np.unique(table.rater[judged], return_counts=True)
    found = []
    for rater in raters[counts >= LEAST_BY_MODEL].tolist():
        here = judged & (table.rater == rater)
        n, agreed = int(here.sum()), int((reading.margin[here] > 0).sum())
        _, high = clopper_pearson(agreed, n, 1.0 - 2.0 * (1.0 - SURE_BY_MODEL) / len(raters))
        told = float((2.0 * truth[here] - 1.0).sum())
        if told > 0 and (high * n - (1.0 - truth[here]).sum()) / told < settings.min_reliability:
            found.append(Unreliable(rater, f"goes against what all others prefer in {n - agreed} of {n} pairs"))
    return found


def truth_by_model(reading: Reading, usual: float) -> Floats:
    """Return the probability (n,) that the model's order is the true one, where raters are so reliable as `usual`.

    Its confidence is that of agreeing with a rater, who errs as well: p = t r + (1 - t) (1 - r).
    """
    agreeing = special.expit(np.abs(reading.margin))
    found: Floats = np.clip((agreeing + usual - 1.0) / (2.0 * usual - 1.0), 0.5, 0.999)
    return found
