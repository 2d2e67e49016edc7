"""Which blocks of features there are, in the order of their columns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lifeloop.models.feature_blocks import columns, encoder_vectors, engineered, lexicons, ngrams, statistics
from lifeloop.models.feature_blocks.block import Block, BlockKind, Matrix
from lifeloop.models.feature_settings import Settings

NGRAMS: tuple[ngrams.NgramKind, ...] = (ngrams.WORDS, ngrams.CHARACTERS)
BLOCKS: tuple[BlockKind, ...] = (
    *NGRAMS,
    statistics.KIND,
    lexicons.KIND,
    columns.KIND,
    encoder_vectors.KIND,
    engineered.KIND,
)


def wanted(settings: Settings) -> list[BlockKind]:
    """Return the blocks that settings want."""
    return [kind for kind in BLOCKS if kind.wanted(settings)]


def load_blocks(folder: Path, settings: Settings) -> list[Block]:
    """Return the fitted blocks that a candidate's folder holds."""
    gone = [kind for kind in NGRAMS if not (folder / f"{kind.name}-terms.json").exists()]  # selection kept none of it
    return [kind.load(folder, settings) for kind in wanted(settings) if kind not in gone]


def side_by_side(matrices: Sequence[Matrix]) -> Matrix:
    """Return blocks' numbers next to each other: sparse where any of them is."""
    from scipy.sparse import hstack, issparse

    if any(map(issparse, matrices)):
        return hstack(matrices, format="csr")
    return np.hstack(matrices)


def dense(matrix: Matrix) -> Any:
    """Return rows of numbers as a numpy array."""
    return np.asarray(matrix.toarray()) if hasattr(matrix, "toarray") else np.asarray(matrix)
