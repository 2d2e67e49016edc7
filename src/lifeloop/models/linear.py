"""A linear head as plain arrays: vectors in, label and probability out. Shared by every kind that ends in one.

Kept as safetensors-like `.npy` arrays rather than a library's object: nothing to trust, nothing to migrate.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifeloop.core.candidates import Answer

WEIGHTS, BIAS = "head-weights.npy", "head-bias.npy"


def save_head(folder: Path, weights: NDArray[Any], bias: NDArray[Any]) -> None:
    """Write a head: weights (n_labels, n_features) and bias (n_labels,)."""
    np.save(folder / WEIGHTS, np.ascontiguousarray(weights, dtype=np.float32), allow_pickle=False)
    np.save(folder / BIAS, np.ascontiguousarray(bias, dtype=np.float32), allow_pickle=False)


def load_head(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weights and the bias that `save_head` wrote."""
    return np.load(folder / WEIGHTS, allow_pickle=False), np.load(folder / BIAS, allow_pickle=False)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities that logits (n, n_labels) stand for, row by row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def answers(probabilities: NDArray[np.float32], labels: Sequence[str]) -> list[Answer]:
    """Return for each row of probabilities (n, n_labels) the label of the largest, as sure as that."""
    best = probabilities.argmax(axis=1)
    return [
        Answer(output=labels[index], confidence=float(row[index]))
        for row, index in zip(probabilities, best, strict=True)
    ]
