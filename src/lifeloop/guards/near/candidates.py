"""Pairs of texts that may be near duplicates: those that share a part of their sketch and are alike by the whole of it.

Takes MinHash values, gives pairs with an estimate. Memory and time grow with the texts and not with their pairs: among
very many that are alike, each keeps the pairs with those most like it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.guards.near.lsh import distinct, keys_at, linked, width
from lifeloop.guards.near.sketch import SLOTS

Places = NDArray[np.int64]
Codes = NDArray[np.uint64]  # a pair as one number: the lower place, then the higher

MOST_PAIRS = 8
"""A pair stays if it is among so many of the most alike of its kind of at least one of its texts."""

_AT_ONCE = 50_000
_FLUSH = 4_000_000
_THREADS = 2


class Asked(Struct, frozen=True):
    """Which pairs are looked for."""

    similarity: float
    rank: Places
    """(n,) where there are too many pairs, those with texts of the lowest ranks are looked at."""
    kinds: Callable[[Places, Places], NDArray[np.int8]]
    """The kind of pairs of places, 7 at most, 0 if of no interest. Of each kind, each text keeps its most alike."""
    texts: Callable[[Places], Sequence[str]]
    """Reads the normalised texts of places, which ascend."""
    family: Places | None = None
    """(n,) if some pairs are only of interest within a family: each is compared with its own, whoever else is alike."""


class Candidates(Struct, frozen=True):
    """Pairs and how alike their sketches say they are, (m,) and (m,), in order of the codes."""

    codes: Codes
    estimate: NDArray[np.float64]


def candidates(values: NDArray[np.uint8], places: Places, asked: Asked, similarity: float, least: float) -> Candidates:
    """Return pairs that are at least so much alike by their values (n, SLOTS), of the texts at places (n,), ascending.

    Nearly all that are as alike as `similarity` are found.
    """
    r = width(similarity, SLOTS)
    found, estimate = np.zeros(0, dtype=np.uint64), np.zeros(0)
    for codes in _batches(_bands(values, places, asked, r)):
        fresh = codes[~_within(codes, found)]
        own = _estimates(values, places, fresh)
        near = own >= least
        found, estimate = np.concatenate([found, fresh[near]]), np.concatenate([estimate, own[near]])
        order = np.argsort(found)
        if len(found) > 2 * MOST_PAIRS * len(places):
            order = order[_most_alike(found[order], estimate[order], asked)]
        found, estimate = found[order], estimate[order]
    chosen = _most_alike(found, estimate, asked)
    return Candidates(found[chosen], estimate[chosen])


def sharing(keys: NDArray[np.uint64], places: Places, asked: Asked) -> Codes:
    """Return the pairs of interest that share a key of `keys` (m,), which are of the texts at places (m,)."""
    family = None if asked.family is None else asked.family[places]
    one, other = linked(keys, asked.rank[places], family)
    left, right = places[one], places[other]
    wanted = (asked.kinds(left, right) > 0) & (left != right)
    return codes_of(left[wanted], right[wanted])


def codes_of(one: Places, other: Places) -> Codes:
    """Return pairs of places as one number each, whichever comes first."""
    low, high = np.minimum(one, other).astype(np.uint64), np.maximum(one, other).astype(np.uint64)
    return low << np.uint64(32) | high


def places_of(codes: Codes) -> tuple[Places, Places]:
    """Return the two places of each pair, the lower one first."""
    return (codes >> np.uint64(32)).astype(np.int64), (codes & np.uint64(2**32 - 1)).astype(np.int64)


def _bands(values: NDArray[np.uint8], places: Places, asked: Asked, r: int) -> Iterator[Codes]:
    """Yield the pairs that share each band, a few bands at once: numpy sorts without the interpreter's lock."""
    with ThreadPoolExecutor(_THREADS) as pool:
        bands = range(SLOTS // r)
        for start in range(0, len(bands), _THREADS):
            several = bands[start : start + _THREADS]
            yield from pool.map(lambda band: sharing(keys_at(values, r, band), places, asked), several)


def _batches(several: Iterable[Codes]) -> Iterator[Codes]:
    """Yield codes that are unique and in order, some millions at a time."""
    waiting: list[Codes] = []
    for codes in several:
        waiting.append(codes)
        if sum(map(len, waiting)) > _FLUSH:
            yield distinct(np.concatenate(waiting))
            waiting = []
    if waiting:
        yield distinct(np.concatenate(waiting))


def _estimates(values: NDArray[np.uint8], places: Places, codes: Codes) -> NDArray[np.float64]:
    """Return the Jaccard similarity of pairs that their MinHash values give; one in 256 is equal by chance."""
    estimate = np.empty(len(codes))
    for start in range(0, len(codes), _AT_ONCE):
        left, right = places_of(codes[start : start + _AT_ONCE])
        one, other = values[np.searchsorted(places, left)], values[np.searchsorted(places, right)]
        estimate[start : start + len(left)] = (one == other).sum(axis=1, dtype=np.int64) / SLOTS
    return np.maximum((estimate - 1 / 256) / (1 - 1 / 256), 0.0)


def _most_alike(codes: Codes, estimate: NDArray[np.float64], asked: Asked) -> NDArray[np.int64]:
    """Return which pairs are among the MOST_PAIRS most alike of their kind of either text, in their order."""
    left, right = places_of(codes)
    if not len(codes) or max(np.bincount(left).max(), np.bincount(right).max()) <= MOST_PAIRS // 2:
        return np.arange(len(codes))
    end, other = np.concatenate([left, right]), np.concatenate([right, left])
    kind = np.tile(asked.kinds(left, right).astype(np.uint64), 2)
    unlike = np.tile(np.rint(SLOTS * (1 - estimate)).astype(np.uint64), 2)
    rank = asked.rank[other].astype(np.uint64) >> np.uint64(max(0, len(asked.rank).bit_length() - 23))
    # One number of 29 + 3 + 9 + 23 bits, which sorts many times faster than four columns.
    packed = end.astype(np.uint64) << np.uint64(35) | kind << np.uint64(32) | unlike << np.uint64(23) | rank
    order = np.argsort(packed)
    group = packed[order] >> np.uint64(32)
    depth = np.arange(len(order)) - np.searchsorted(group, group)
    return distinct(order[depth < MOST_PAIRS].astype(np.uint64) % np.uint64(len(codes))).astype(np.int64)


def _within(codes: Codes, ordered: Codes) -> NDArray[np.bool_]:
    """Return which codes are among others that are in order."""
    if not len(ordered):
        return np.zeros(len(codes), dtype=np.bool_)
    at = np.minimum(np.searchsorted(ordered, codes), len(ordered) - 1)
    return ordered[at] == codes
