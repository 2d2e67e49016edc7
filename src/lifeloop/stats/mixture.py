"""Evidence for means without bounds, valid at any look once there are many values.

Takes the mean and variance of what has been seen so far and gives an e-value. The one-sided companion of
`sequential.normal_interval`.
"""

import math

from scipy import special

from lifeloop.stats.sequential import USUAL_SIZE

ALPHA = 0.05
"""Level at which `normal_e_value` grows fastest."""


def normal_e_value(n: int, mean: float, variance: float, tuned_at: int = 0) -> float:
    """Return the evidence that a mean is above 0, after n values with that mean and variance.

    The one-sided normal mixture (Robbins, 1970): bets on every mean above 0, weighted by half a normal distribution.
    Valid at any look where n is large. `tuned_at` is the n at which it grows fastest, fixed before looking; 0 takes
    that of `normal_interval`. 1 for fewer than two values, or without a variance.
    """
    if n < 2 or variance <= 0.0 or not math.isfinite(variance):
        return 1.0
    tuning = (-2 * math.log(ALPHA) + math.log(1 - 2 * math.log(ALPHA))) / (tuned_at or USUAL_SIZE)
    spread = 1.0 + n * tuning
    score = n * mean / math.sqrt(variance) * math.sqrt(tuning / spread)
    logarithm = math.log(2.0) - 0.5 * math.log(spread) + score**2 / 2 + float(special.log_ndtr(score))
    return math.exp(logarithm) if logarithm < 709.0 else math.inf
