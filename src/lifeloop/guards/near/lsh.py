"""Locality-sensitive hashing by sorting: which items share one of their keys, without comparing every two.

Takes keys as arrays, gives pairs of places. However many items share a key, each is paired with a few of them.
"""

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 3
"""An item is paired with so many of those before it in its bucket."""
FIRSTS = 2
"""And with so many of the first ones."""
MOST_WIDTH = 8
_ENOUGH = 0.995
_ODD = np.uint64(0x9E3779B97F4A7C15)


def width(similarity: float, slots: int) -> int:
    """Return how many MinHash values to take as one key, so that two items of that similarity share a key in 99.5%.

    Of b keys of r values each, the chance that one is shared is 1 - (1 - s**r)**b (Leskovec et al., Mining of Massive
    Datasets, 3.4). The more values, the fewer pairs come up that are not alike.
    """
    widths = range(MOST_WIDTH, 1, -1)
    return next((r for r in widths if 1 - (1 - similarity**r) ** (slots // r) >= _ENOUGH), 1)


def keys_at(values: NDArray[np.uint8], r: int, band: int) -> NDArray[np.uint64]:
    """Return keys (n,) made of `r` of the values (n, slots) each, from place r * band on; r is MOST_WIDTH at most."""
    key = np.zeros((len(values), MOST_WIDTH), dtype=np.uint8)
    key[:, :r] = values[:, r * band : r * (band + 1)]
    return key.view(np.uint64)[:, 0]


def linked(keys: NDArray[np.uint64], rank: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of places, (m,) and (m,), that share a key of `keys` (n,), by `rank` (n,) within a bucket.

    A bucket of k gives (NEIGHBOURS + FIRSTS) * k pairs at most, which link all of it; all pairs where it is small.
    """
    bits = np.uint64(len(keys).bit_length())
    mixed = keys * _ODD >> bits << bits  # what is lost of a key for its place makes a few false pairs in a million
    packed = np.sort(mixed | np.arange(len(keys), dtype=np.uint64))  # sorts faster than places by their keys
    same = packed[1:] >> bits == packed[:-1] >> bits
    shared = np.zeros(len(keys), dtype=np.bool_)
    shared[1:] = same
    shared[:-1] |= same
    own = packed[shared]
    places = (own & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    bucket = np.cumsum(np.diff(own >> bits, prepend=np.uint64(0)) != 0)
    places = places[np.lexsort((rank[places], bucket))]
    at = np.arange(len(places))
    first = np.searchsorted(bucket, bucket)
    depth = at - first
    ones, others = [], []
    for step in range(1, NEIGHBOURS + 1):
        deep = at[depth >= step]
        ones.append(places[deep])
        others.append(places[deep - step])
    for place in range(FIRSTS):
        deep = at[depth - place > NEIGHBOURS]
        ones.append(places[deep])
        others.append(places[first[deep] + place])
    return np.concatenate(ones), np.concatenate(others)


def distinct(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the values in order, each once. By sorting: np.unique, which hashes, takes longer."""
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)]]
