"""How reliable raters are, told from what several of them said of the same items.

Takes votes for one of two answers, gives the probability that each rater says what the truth is and that each item's
first answer is the right one. Knows nothing of what was judged.
"""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

N_STEPS = 200
CLOSE = 1e-7
PRIOR_VOTES = 4.0
"""Votes that a rater is thought to have given before any was seen, as reliable as raters are on the whole."""
LEAST_MEAN, MOST_MEAN = 0.6, 0.98
"""Between these is what raters are thought to be on the whole."""


class Reliability(Struct, frozen=True):
    """What votes say of raters and items."""

    of_rater: Floats
    """(n_raters,) probability to vote for the right answer: the mean of the posterior."""
    right: Floats
    """(n_raters,) expected number of right votes on items of several votes ..."""
    n_votes: Places
    """... and (n_raters,) how many votes on such items there are."""
    first: Floats
    """(n_items,) probability that the first answer is the right one."""
    mean: float
    """What raters are on the whole, from how often two of them agree."""

    def below(self, least: float) -> Floats:
        """Return the probability (n_raters,) that a rater is less reliable than `least`."""
        a, b = _prior(self.mean)
        wrong = self.n_votes - self.right
        found: Floats = special.betainc(a + self.right, b + wrong, least)
        return found


def reliability(item: Places, rater: Places, vote: NDArray[np.bool_], n_raters: int) -> Reliability:
    """Return how reliable raters are; `item`, `rater` and `vote` are (n,), a vote of True is for the first answer.

    The model of Dawid and Skene (1979) with one number a rater, since which answer is the first means nothing: votes
    are right with the rater's probability, independently given the truth. By expectation maximisation from the
    majority, with a weak prior from how often any two agree, so that a rater of few votes is taken to be like the
    others. A rater who says the opposite of the truth comes out below 0.5. Items of one vote say nothing, but get the
    probability of theirs.
    """
    _, item = np.unique(item, return_inverse=True)
    n_items = int(item.max(initial=-1)) + 1
    several = np.bincount(item, minlength=n_items)[item] > 1
    at, who, yes = item[several], rater[several], vote[several]
    n_votes = np.bincount(who, minlength=n_raters).astype(np.int64)
    mean = _mean(at, yes, n_items)
    a, b = _prior(mean)
    n_yes, n_all = np.bincount(at, yes, n_items), np.bincount(at, minlength=n_items)
    first = (n_yes + 0.5) / (n_all + 1.0)
    right: Floats = np.zeros(n_raters)
    for _ in range(N_STEPS):
        right = np.bincount(who, np.where(yes, first[at], 1.0 - first[at]), n_raters).astype(np.float64)
        of_rater = (a + right) / (a + b + n_votes)
        logit = special.logit(of_rater)
        before = first
        first = special.expit(np.bincount(at, np.where(yes, logit[who], -logit[who]), n_items))
        if not len(at) or np.abs(first - before).max() < CLOSE:
            break
    alone = ~several
    own = (a + right) / (a + b + n_votes)
    first[item[alone]] = np.where(vote[alone], own[rater[alone]], 1.0 - own[rater[alone]])
    return Reliability(own, right, n_votes, first, mean)


def _prior(mean: float) -> tuple[float, float]:
    return PRIOR_VOTES * mean, PRIOR_VOTES * (1.0 - mean)


def _mean(item: Places, yes: NDArray[np.bool_], n_items: int) -> float:
    """Return how reliable equal raters would be who agree as often: two agree with probability r² + (1 - r)²."""
    n = np.bincount(item, minlength=n_items).astype(np.float64)
    n_yes = np.bincount(item, yes, n_items)
    n_pairs = (n * (n - 1)).sum() / 2
    if not n_pairs:
        return (LEAST_MEAN + 1.0) / 2
    agree = ((n_yes * (n_yes - 1) + (n - n_yes) * (n - n_yes - 1)).sum() / 2) / n_pairs
    return float(np.clip((1.0 + np.sqrt(max(2.0 * agree - 1.0, 0.0))) / 2, LEAST_MEAN, MOST_MEAN))
