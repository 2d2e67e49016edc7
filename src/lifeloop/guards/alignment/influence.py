"""How much each rater counts: nobody, and no group that acts as one, has more than a share of all influence.

Takes weights and who gave what, gives weights in (0, 1]. Knows nothing of what was said.
"""

import numpy as np

from lifeloop.guards.alignment.table import Floats, Places

LEAST_WEIGHT = 1e-3
FEW = 2.0
"""Where there are few raters, one may have so many times the share of an equal one."""


def share_of_one(n_raters: int, most: float) -> float:
    """Return the largest share of influence that one of so many raters may have."""
    return min(1.0, max(most, FEW / max(n_raters, 1)))


def capped(weights: Floats, owner: Places, most: float) -> Floats:
    """Return weights (n,) such that no owner has more than the allowed share of their sum.

    `owner` (n,) is the place of a rater or group, -1 for what nobody knows of, which is never capped. All of what is
    above weighs less, in proportion. Exact: with k owners at the cap c, the sum is that of all others divided by 1 - k
    c.
    """
    sums = np.bincount(owner[owner >= 0], weights[owner >= 0])
    present = sums > 0
    cap = share_of_one(int(present.sum()), most)
    whole = float(weights.sum())
    over = np.zeros(len(sums), dtype=np.bool_)
    allowed = cap * whole
    while True:
        more = present & (sums > allowed * (1 + 1e-9)) & ~over
        k = int((over | more).sum())
        if not more.any() or k * cap >= 1.0:
            break
        over |= more
        allowed = cap * (whole - float(sums[over].sum())) / (1.0 - k * cap)
    scale = np.ones(len(sums) + 1)
    scale[:-1][over] = allowed / sums[over]
    found: Floats = np.clip(weights * scale[owner], LEAST_WEIGHT, 1.0)
    return found
