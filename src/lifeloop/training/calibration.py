"""Temperature: one number that makes a classifier as sure as it is right (Guo et al., 2017)."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


def temperature(logits: NDArray[np.float32], truth: NDArray[np.intp]) -> float:
    """Return the temperature that makes held-out labels likeliest.

    `logits` (n, n_labels) are divided by it; `truth` (n,) holds column numbers. 1.0 where there is nothing to go by.
    """
    if len(truth) == 0:
        return 1.0
    rows = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature), axis=1)[rows, truth].mean())

    found = minimize_scalar(loss, bounds=(-5.0, 5.0), method="bounded")
    return float(np.exp(found.x))
