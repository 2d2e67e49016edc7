"""A threshold whose risk on new items is bounded, whatever the model and however few the items it is set on.

Takes the loss of every calibration item at every threshold and gives the threshold. Knows nothing of what is withheld
or passed on; the items must be exchangeable with those to come.
"""

import numpy as np
from numpy.typing import ArrayLike


def risk_threshold(losses: ArrayLike, thresholds: ArrayLike, risk: float) -> int | None:
    """Return the index of the first threshold whose expected loss on a new item is at most `risk`; None for none.

    `losses` is (n, m), in [0, 1], one column a threshold (m,), from the least to the most conservative. Conformal risk
    control (Angelopoulos et al., 2024): the first at which (n * mean loss + 1) / (n + 1) is at most the risk, for
    losses that do not increase along a row; where one does, the worst of the thresholds from there on counts, as the
    paper proposes. The bound is on the average over calibrations. Raises ValueError for other shapes or losses.
    """
    table, points = np.asarray(losses, dtype=np.float64), np.asarray(thresholds)
    if table.ndim != 2 or table.shape[1] != len(points):
        raise ValueError(f"losses {table.shape} for {len(points)} thresholds")
    if not ((table >= 0.0) & (table <= 1.0)).all():
        raise ValueError("losses must lie in [0, 1]")
    worst_from_there = np.maximum.accumulate(table[:, ::-1], axis=1)[:, ::-1]
    bounds = (worst_from_there.sum(axis=0) + 1.0) / (len(table) + 1.0)
    kept = np.flatnonzero(bounds <= risk)
    return int(kept[0]) if len(kept) else None
