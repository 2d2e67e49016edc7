"""Sketches of texts by which near duplicates are found: MinHash of each text's words."""

from collections.abc import Sequence

import numpy as np
import polars as pl


def sketches(texts: Sequence[str]) -> pl.Series:
    """Return a sketch (n,) of each normalised text: 128 values of 16 bits."""
    from rensa import RMinHash

    words = pl.Series(list(texts), dtype=pl.String).str.split(" ")
    offsets = np.concatenate([[0], np.cumsum(words.list.len().to_numpy())]).astype(np.uint64)
    hashes = words.explode().hash(seed=1).to_numpy()
    rows = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, num_perm=128, seed=42).to_rows()
    return pl.Series([np.array(row, dtype=np.uint32).astype(np.uint16).tobytes() for row in rows], dtype=pl.Binary)
