"""Raters who are not reliable: who say something else than others of the same pairs, or go against what all prefer.

Takes preferences, gives how reliable each rater is and who is set aside. What others said of the same pairs tells it
best; a quick model of what all prefer has a vote too, so that those who judged no pair that others did are judged as
well. Knows nothing of words.
"""

import numpy as np
from msgspec import Struct
from scipy import special

from lifeloop.core.preferences_brief import Trust
from lifeloop.guards.alignment.reading import Reading
from lifeloop.guards.alignment.table import Flags, Places, Table
from lifeloop.stats.agreement import Reliability, reliability

SURE = 0.99
"""The probability with which a rater must be worse than half way between the others and what is asked for."""
CONFIDENT = 0.7
"""The quick model votes on a pair where it is so sure of the order."""
LEAST_KNOWN = 0.6
"""Of a model that is right more seldom than this nobody is judged."""
OPPOSITE = 0.3


class Unreliable(Struct, frozen=True):
    """A rater to set aside."""

    rater: int
    detail: str


def overlaps(table: Table, left: Flags) -> Reliability:
    """Return how reliable raters are by what several of them said of the same, among what is `left` (n,).

    A rater who judged the same pair twice has one vote there.
    """
    once = _votes(table, left)
    return reliability(table.item[once], table.rater[once], table.vote[once], len(table.raters))


def find_unreliable(table: Table, reading: Reading, left: Flags, settings: Trust) -> list[Unreliable]:
    """Return raters who are less reliable than `settings.min_reliability`, and surely worse than others are.

    The quick model is one rater more, whose reliability is told from its votes like that of any other. It votes where
    it is confident, and on one pair of those that several raters judged alike; it has not seen what it votes on.
    """
    once = _votes(table, left)
    model = once[:0]
    if reading.accuracy >= LEAST_KNOWN:
        model = once[special.expit(np.abs(reading.margin[once])) >= CONFIDENT]
        model = model[np.unique(table.item[model], return_index=True)[1]]
    n = len(table.raters)
    known = reliability(
        np.concatenate([table.item[once], table.item[model]]),
        np.concatenate([table.rater[once], np.full(len(model), n)]),
        np.concatenate([table.vote[once], table.vote[model] ^ (reading.margin[model] < 0)]),
        n + 1,
    )
    surely_worse = known.below((settings.min_reliability + max(known.mean, settings.min_reliability)) / 2) >= SURE
    unreliable = surely_worse & (known.of_rater < settings.min_reliability) & (known.n_votes >= settings.min_overlaps)
    found = []
    for rater in np.flatnonzero(unreliable[:n]).tolist():
        said = "says the opposite of the others" if known.of_rater[rater] < OPPOSITE else "is right too seldom"
        told = f"{known.right[rater]:.0f} of {known.n_votes[rater]} pairs that others, or what all prefer, tell"
        found.append(Unreliable(rater, f"{said}: right in {told}"))
    return found


def _votes(table: Table, left: Flags) -> Places:
    """Return the places of what raters said, of the same thing once."""
    named = np.flatnonzero(left & (table.rater >= 0))
    codes = table.item[named] * (len(table.raters) + 1) + table.rater[named]
    return named[np.unique(codes, return_index=True)[1]]
