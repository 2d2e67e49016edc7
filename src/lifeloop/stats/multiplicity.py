"""Several comparisons at once: p-values adjusted so that they may be held against one level.

Takes p-values in any order and gives the adjusted ones in the same order. Knows nothing of what was compared.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values that bound the chance of even one false rejection, under any dependence (Holm, 1979).

    Raises ValueError for a p-value outside [0, 1].
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _restored(stepped, order)


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Return p-values that bound the expected share of false rejections (Benjamini and Hochberg, 1995).

    Holds for independent or positively dependent tests. Raises ValueError for a p-value outside [0, 1].
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * (len(p) / np.arange(1, len(p) + 1))
    return _restored(np.minimum.accumulate(scaled[::-1])[::-1], order)


def _checked(p_values: ArrayLike) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0.0) & (p <= 1.0)).all():
        raise ValueError("p-values must lie in [0, 1]")
    return p


def _restored(ascending: Floats, order: NDArray[np.intp]) -> Floats:
    adjusted = np.empty_like(ascending)
    adjusted[order] = np.minimum(ascending, 1.0)
    return adjusted
