"""Brings dense features to one scale, so that none outweighs the n-grams whatever it is counted in."""

from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float32]
FARTHEST = 4.0
"""Standard deviations beyond which a value says no more: a text of a million words is a long one."""


class Scale(Struct, frozen=True):
    """Mean and spread of each feature in training."""

    mean: Floats
    spread: Floats

    def apply(self, raw: Floats) -> Floats:
        """Return features (n, k) as standard scores over the root of k: rows have a length of about 1, as n-grams have.

        What is no number counts as the mean.
        """
        scores = np.clip((raw - self.mean) / self.spread, -FARTHEST, FARTHEST)
        return np.asarray(np.nan_to_num(scores) / np.sqrt(max(1, raw.shape[1])), dtype=np.float32)

    def save(self, file: Path) -> None:
        """Write it as one array (2, k)."""
        np.save(file, np.stack([self.mean, self.spread]).astype(np.float32), allow_pickle=False)


def scale_of(raw: Floats) -> Scale:
    """Return the scale of training features (n, k); a feature that never changes has a spread of 1."""
    known = np.isfinite(raw)
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, raw, 0.0).sum(axis=0) / n
    spread = np.sqrt((np.where(known, raw - mean, 0.0) ** 2).sum(axis=0) / n)
    return Scale(mean.astype(np.float32), np.where(spread > 1e-6, spread, 1.0).astype(np.float32))


def load_scale(file: Path) -> Scale:
    """Return the scale that was saved."""
    mean, spread = np.load(file, allow_pickle=False)
    return Scale(mean, spread)
