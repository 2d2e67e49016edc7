"""Whether traffic is split as it was meant to be, asked at any time: a sample-ratio mismatch spoils every comparison.

Takes counts, gives an e-value. Knows nothing of who was assigned, or why a split may be off.
"""

import math
from collections.abc import Sequence

PRIOR = 100.0
"""Weight of the prior around the split that was meant, in observations: splits off by a tenth of themselves are found
early, and smaller ones later."""


def mismatch_e_value(counts: Sequence[int], shares: Sequence[float], *, prior: float = PRIOR) -> float:
    """Return the logarithm of the evidence that counts were not drawn with those shares.

    The Bayes factor of a multinomial with a Dirichlet prior around the shares against the shares themselves: a
    martingale while they hold, so it may be looked at after each observation (Lindon and Malek, 2022, Anytime-Valid
    Inference for Multinomial Count Data). log(1/alpha) or more shows a mismatch at level alpha. Raises ValueError for
    shares that are not positive or do not add up to 1.
    """
    if min(shares) <= 0 or abs(sum(shares) - 1.0) > 1e-9 or len(counts) != len(shares):
        raise ValueError(f"{len(counts)} counts and shares {tuple(shares)}: positive ones that add up to 1 are needed")
    total = sum(counts)
    evidence = math.lgamma(prior) - math.lgamma(prior + total)
    for count, share in zip(counts, shares, strict=True):
        evidence += math.lgamma(prior * share + count) - math.lgamma(prior * share) - count * math.log(share)
    return evidence
