"""Raters who say that of two answers each is the better one, or of one answer that they like it and that they do not.

Takes preferences, gives those that their own rater contradicts. Which of the two was meant nothing tells. Knows nothing
of words.
"""

import numpy as np

from lifeloop.guards.alignment.table import Flags, Places, Table


def find_contradictions(table: Table, left: Flags) -> Places:
    """Return the preferences among those `left` (n,) of which the same rater says the opposite too.

    What nobody signed contradicts nobody.
    """
    named = np.flatnonzero(left & (table.rater >= 0))
    codes = table.item[named] * (len(table.raters) + 1) + table.rater[named]
    _, which = np.unique(codes, return_inverse=True)
    first = np.bincount(which, table.vote[named]) if len(named) else np.zeros(0)
    n = np.bincount(which) if len(named) else np.zeros(0)
    both = (first > 0) & (first < n)
    return named[both[which]]
