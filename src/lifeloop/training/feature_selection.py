"""Which n-grams tell labels apart: the `select` best of them by a test, by mutual information, or by an L1 penalty.

Takes sparse counts and labels, gives the columns to keep. The tests are scikit-learn's own.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifeloop.models.feature_settings import Settings


def best_columns(counts: Any, truth: NDArray[np.str_], settings: Settings, seed: int) -> NDArray[np.intp]:
    """Return the columns of sparse counts (n, k) to keep, in their order: at most `settings.select`."""
    if counts.shape[1] <= settings.select:
        return np.arange(counts.shape[1])
    scores = _scores(counts, truth, settings, seed)
    order = np.argsort(-np.nan_to_num(scores), kind="stable")  # of equals the first, so that it is the same every time
    return np.sort(order[: settings.select])


def _scores(counts: Any, truth: NDArray[np.str_], settings: Settings, seed: int) -> NDArray[np.float64]:
    if settings.select_by == "chi2":
        from sklearn.feature_selection import chi2

        return np.asarray(chi2(counts, truth)[0])
    if settings.select_by == "mutual_information":
        from sklearn.feature_selection import mutual_info_classif

        present = (counts > 0).astype(np.int8)  # whether it occurs: weighed counts are no categories
        return np.asarray(mutual_info_classif(present, truth, discrete_features=True, random_state=seed))
    from sklearn.svm import LinearSVC

    solver = LinearSVC(C=settings.c, penalty="l1", dual=False, random_state=seed)
    return np.abs(solver.fit(counts, truth).coef_).max(axis=0)
