"""Locality-sensitive hashing by sorting: which items share one of their keys, without comparing every two.

Takes keys as arrays, gives pairs of places. However many items share a key, each is paired with a few of them.
"""

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]

NEIGHBOURS = 3
"""An item is paired with so many of those before it in its bucket."""
FIRSTS = 2
"""And with so many of the first ones."""
FAMILY_FIRSTS = 3
"""And with so many of the first ones of its family."""
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


def linked(keys: NDArray[np.uint64], rank: Places, family: Places | None = None) -> tuple[Places, Places]:
    """Return pairs of places, (m,) and (m,), that share a key of `keys` (n,), by `rank` (n,) within a bucket.

    A bucket of k gives (NEIGHBOURS + FIRSTS) * k pairs at most, which link all of it; all pairs where it is small.
    With `family` (n,), each is also paired with the first ones of its family in the bucket, whoever else is in it:
    FAMILY_FIRSTS * k pairs more at most.
    """
    places, bucket = _in_buckets(keys)
    order = np.lexsort((rank[places], bucket))
    several = [_links(places[order], bucket, NEIGHBOURS, FIRSTS)]
    if family is not None:
        mixed = _mixed(bucket, family[places])
        places, bucket = places[mixed], bucket[mixed]
        own = family[places]
        order = np.lexsort((rank[places], own, bucket))
        new = (np.diff(own[order], prepend=-1) != 0) | (np.diff(bucket, prepend=-1) != 0)
        several.append(_links(places[order], np.cumsum(new), 0, FAMILY_FIRSTS))
    ones, others = zip(*several, strict=True)
    return np.concatenate(ones), np.concatenate(others)


def _in_buckets(keys: NDArray[np.uint64]) -> tuple[Places, Places]:
    """Return the places that share their key with others, and the number of each one's bucket, which ascends."""
    bits = np.uint64(len(keys).bit_length())
    mixed = keys * _ODD >> bits << bits  # what is lost of a key for its place makes a few false pairs in a million
    packed = np.sort(mixed | np.arange(len(keys), dtype=np.uint64))  # sorts faster than places by their keys
    same = packed[1:] >> bits == packed[:-1] >> bits
    shared = np.zeros(len(keys), dtype=np.bool_)
    shared[1:] = same
    shared[:-1] |= same
    own = packed[shared]
    places = (own & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    return places, np.cumsum(np.diff(own >> bits, prepend=np.uint64(0)) != 0)


def _mixed(bucket: Places, family: Places) -> NDArray[np.bool_]:
    """Return which items are in a bucket of several families of which not all pairs are linked anyway."""
    first = np.searchsorted(bucket, bucket)
    differs = np.bincount(bucket[family != family[first]], minlength=bucket.max(initial=0) + 1)
    return (differs[bucket] > 0) & (np.bincount(bucket)[bucket] > NEIGHBOURS + 1)


def _links(places: Places, bucket: Places, neighbours: int, firsts: int) -> tuple[Places, Places]:
    """Return pairs of places (n,) of one bucket (n,), which ascends: each with some before it and the first ones."""
    at = np.arange(len(places))
    first = np.searchsorted(bucket, bucket)
    depth = at - first
    ones, others = [], []
    for step in range(1, neighbours + 1):
        deep = at[depth >= step]
        ones.append(places[deep])
        others.append(places[deep - step])
    for place in range(firsts):
        deep = at[depth - place > neighbours]
        ones.append(places[deep])
        others.append(places[first[deep] + place])
    return np.concatenate(ones), np.concatenate(others)


def distinct(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the values in order, each once. By sorting: np.unique, which hashes, takes longer."""
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)]]
