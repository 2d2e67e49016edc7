"""Collusion: raters who say the same of the same pairs, together and against everyone else, more than chance would have
it.

Takes preferences and how they read to a quick model, gives groups of raters and what they did together. Who pushes the
same words or the same answers is found by `triggers`, for these need no pair in common.
"""

from collections import defaultdict
from itertools import combinations

import numpy as np
from msgspec import Struct
from scipy import special

from lifeloop.guards.alignment.reading import Reading
from lifeloop.guards.alignment.table import Flags, Places, Table

CHANCE = 1e-3
"""The probability that chance makes any two raters look colluding."""
LEAST = 4
"""So often they must have been wrong together."""
LEAST_RATE = 0.03
"""Two honest raters are wrong about the same pair at least so often: some pairs are hard."""
MOST_VOTES = 30
"""A pair that more raters judged is decided by them, and not looked at."""


class Group(Struct, frozen=True):
    """Raters who act as one."""

    raters: tuple[int, ...]
    places: Places
    """Of what they said together, against the others."""
    detail: str


def find_groups(table: Table, reading: Reading, left: Flags) -> list[Group]:
    """Return groups of raters who are wrong together among what is `left` (n,).

    Wrong is what goes against the majority of the others who judged the pair, or where there are none, against the
    quick model. How often two raters are so on the same pairs is held against how often any two are (binomial test,
    Bonferroni).
    """
    shared, wrong = _shared(table, reading, left)
    if not shared:
        return []
    n_shared, n_wrong = sum(shared.values()), sum(len(places) for places in wrong.values())
    joined: list[set[int]] = []
    for pair in sorted(wrong):
        n, here = shared[pair], len(wrong[pair]) // 2
        usual = max((n_wrong / 2 - here + 1) / (n_shared - n + 2), LEAST_RATE)
        if here >= LEAST and special.bdtrc(here - 1, n, min(usual, 1.0)) * len(shared) < CHANCE:
            touching = [group for group in joined if group & set(pair)]
            joined = [group for group in joined if group not in touching] + [set(pair).union(*touching)]
    found = []
    for group in sorted(joined, key=min):
        pairs = [pair for pair in wrong if set(pair) <= group]
        places = np.unique(np.concatenate([wrong[pair] for pair in pairs]))
        n_pairs = len(np.unique(table.item[places]))
        detail = f"one of {len(group)} raters who said the same of {n_pairs} pairs, against everyone else"
        found.append(Group(tuple(sorted(group)), places, detail))
    return found


Pairs = dict[tuple[int, int], int]
Together = dict[tuple[int, int], list[int]]


def _shared(table: Table, reading: Reading, left: Flags) -> tuple[Pairs, Together]:
    """Return how many pairs two raters both judged, and what they said of those they were both wrong about."""
    named = np.flatnonzero(left & table.is_pair & (table.rater >= 0))
    by_item: dict[int, dict[int, int]] = defaultdict(dict)
    for place in named.tolist():
        by_item[int(table.item[place])].setdefault(int(table.rater[place]), place)
    shared: Pairs = defaultdict(int)
    wrong: Together = defaultdict(list)
    for votes in by_item.values():
        if not 2 <= len(votes) <= MOST_VOTES:
            continue
        n_yes = sum(bool(table.vote[place]) for place in votes.values())
        for one, other in combinations(sorted(votes), 2):
            a, b = votes[one], votes[other]
            shared[one, other] += 1
            if table.vote[a] != table.vote[b]:
                continue
            yes = bool(table.vote[a])
            others = (n_yes - 2 if yes else n_yes) * 2 - (len(votes) - 2)  # above 0: the others vote for the first
            against = others < 0 if yes else others > 0
            if against or (others == 0 and reading.against[a]):
                wrong[one, other] += [a, b]
    return shared, wrong
