"""Boosted trees as plain arrays: every node of every tree in a row of numbers, and a walk down all of them at once.

Taken from a fitted HistGradientBoostingClassifier of scikit-learn, whose answers it gives to the last bit but one; see
docs/decisions/0004-plain-arrays.md for why no library object is kept. Reads dense features without categories.
"""

from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

CELLS = 2_000_000
"""Pairs of a row and a tree that are walked at a time."""


class Trees(Struct, frozen=True):
    """A forest that adds up to logits."""

    roots: NDArray[np.int32]
    """(n_rounds, n_outputs): where each tree begins."""
    feature: NDArray[np.int32]
    """(n_nodes,): which feature a node asks for; -1 in a leaf."""
    threshold: NDArray[np.float64]
    """(n_nodes,): up to it goes left."""
    children: NDArray[np.int32]
    """(n_nodes, 2): where left and right lead; a leaf leads to itself."""
    value: NDArray[np.float64]
    """(n_nodes,): what a leaf adds."""
    baseline: NDArray[np.float64]
    """(n_outputs,): where the sums begin."""

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, n_labels) of features (n, k)."""
        n_trees = self.roots.size
        size = max(1, CELLS // n_trees)
        rows = [self._sums(features[start : start + size]) for start in range(0, len(features), size)]
        sums = np.vstack(rows) + self.baseline
        if sums.shape[1] == 1:  # two labels share one output, the logit of the second
            sums = np.hstack([np.zeros_like(sums), sums])
        return sums.astype(np.float32)

    def _sums(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        at = np.repeat(self.roots.reshape(1, -1), len(features), axis=0)
        row = np.arange(len(features))[:, None]
        while (asked := self.feature[at]).max() >= 0:
            right = features[row, np.maximum(asked, 0)].astype(np.float64) > self.threshold[at]
            at = self.children[at, right.astype(np.intp)]
        return self.value[at].reshape(len(features), *self.roots.shape).sum(axis=1)

    def cooled(self, temperature: float) -> "Trees":
        """Return trees whose logits are divided by a temperature."""
        return Trees(
            self.roots,
            self.feature,
            self.threshold,
            self.children,
            self.value / temperature,
            self.baseline / temperature,
        )

    def save(self, folder: Path) -> None:
        """Write the arrays, one file each: an archive of them would hold the time of day."""
        for name in self.__struct_fields__:
            np.save(folder / f"trees-{name}.npy", getattr(self, name), allow_pickle=False)


def load_trees(folder: Path) -> Trees:
    """Return the trees that were saved."""
    return Trees(*(np.load(folder / f"trees-{name}.npy", allow_pickle=False) for name in Trees.__struct_fields__))


def trees_of(fitted: Any) -> Trees:
    """Return the trees of a fitted HistGradientBoostingClassifier without categorical features."""
    roots, nodes, offsets, begin = [], [], [], 0
    for trees in fitted._predictors:
        roots.append([])
        for tree in trees:
            roots[-1].append(begin)
            nodes.append(tree.nodes)
            offsets.append(np.full(len(tree.nodes), begin))
            begin += len(tree.nodes)
    all_nodes, offset, own = np.concatenate(nodes), np.concatenate(offsets), np.arange(begin)
    leaf = all_nodes["is_leaf"].astype(bool)
    sides = [np.where(leaf, own, all_nodes[side] + offset) for side in ("left", "right")]
    return Trees(
        roots=np.array(roots, dtype=np.int32),
        feature=np.where(leaf, -1, all_nodes["feature_idx"]).astype(np.int32),
        threshold=np.where(leaf, np.inf, all_nodes["num_threshold"]),
        children=np.stack(sides, axis=1).astype(np.int32),
        value=np.where(leaf, all_nodes["value"], 0.0),
        baseline=np.asarray(fitted._baseline_prediction, dtype=np.float64).reshape(-1),
    )
