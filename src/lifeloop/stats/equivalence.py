"""Not worse by more than a margin: read off an interval of a difference.

Takes an interval that some other module computed and gives the answer, or a p-value for correction over several
comparisons. A difference is turned so that less is worse.
"""

import math

from scipy import stats


def non_inferior(low: float, margin: float) -> bool:
    """Return whether a difference whose interval starts at `low` is shown not to be worse than minus the margin.

    With a two-sided interval at 1 - alpha its error is at most alpha / 2 (Schuirmann, 1987; Blackwelder, 1982).
    """
    return low > -margin


def p_worse_than(difference: float, low: float, high: float, confidence: float, bound: float) -> float:
    """Return the one-sided p-value of the hypothesis that the true difference is `bound` or more.

    Small means: it is shown to be below the bound. Takes the estimate to be normal, with the spread that the interval
    (low, high) at `confidence` has on the side of the bound; so the p-value is below (1 - confidence) / 2 exactly where
    `high` lies below the bound (Altman and Bland, 2011). 1 where the interval says nothing.
    """
    reach = high - difference if difference < bound else difference - low
    if math.isnan(reach) or math.isinf(reach):
        return 1.0
    if reach <= 0.0:
        return 0.0 if difference < bound else 1.0
    quantile = float(stats.norm.ppf((1 + confidence) / 2))
    return float(stats.norm.cdf((difference - bound) * quantile / reach))
