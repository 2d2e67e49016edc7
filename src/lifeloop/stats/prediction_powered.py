"""The mean of a human judgement, from many items that a model judged and a few that people labelled too.

Takes the model's judgements of all items and both judgements of the labelled ones; gives the mean that people would
give, with its interval. A poor judge makes the interval no wider than people alone would; a good one makes it narrower.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


def mean(
    judged_all: ArrayLike, judged_labelled: ArrayLike, labelled: ArrayLike, confidence: float
) -> tuple[float, float, float]:
    """Return the mean, and the low and high end of its interval (PPI++: Angelopoulos, Duchi and Zrnic, 2023).

    `judged_all` (N,) is the judge's score of every item, the labelled ones among them; `judged_labelled` (n,) its score
    and `labelled` (n,) people's of those labelled, a random part of all. How far the judge is trusted is tuned to the
    least variance. Student's t with n - 1 degrees of freedom, as n is often small. The interval is (-inf, inf) for
    one label; raises ValueError for none, or more than items.
    """
    every, judged, true = (np.asarray(part, dtype=np.float64) for part in (judged_all, judged_labelled, labelled))
    n, others = len(true), len(every) - len(true)
    if n != len(judged) or n == 0 or others < 0:
        raise ValueError(f"{len(every)} items, {len(judged)} of them judged and {n} labelled")
    if n == 1:
        return float(true[0]), -math.inf, math.inf
    trust, judged_variance, rest = 0.0, 0.0, 0.0
    if others:
        rest = (every.sum() - judged.sum()) / others
        judged_variance = float(np.var(every, ddof=1))
    if judged_variance > 0.0:
        together = float(np.cov(judged, true, ddof=1)[0, 1])
        trust = min(1.0, max(0.0, together / ((1 + n / others) * judged_variance)))
    value = float(true.mean() + trust * (rest - judged.mean()))
    variance = float(np.var(true - trust * judged, ddof=1)) / n
    if others:
        variance += trust**2 * judged_variance / others
    reach = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * math.sqrt(variance)
    return value, value - reach, value + reach
