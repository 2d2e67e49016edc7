"""Which texts are near duplicates: candidates by their sketches, confirmed by the texts where a sketch cannot tell.

Takes sketches, gives pairs with their similarities. Knows nothing of splits, labels or what becomes of a pair.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.guards.near.candidates import Asked, Candidates, Codes, Places, candidates, places_of, sharing
from lifeloop.guards.near.lsh import distinct
from lifeloop.guards.near.similarity import jaccard, short_similarity, word_sets
from lifeloop.guards.near.sketch import LONG, SHORT, character_values, counts_of, rests_of, word_values

DOUBT = 0.06
"""Three standard errors of a similarity that a sketch of words estimates: where it is so far off, no text is read."""
CHARACTERS = 0.1
"""By how much less the characters' sketches of near texts are alike than the texts: each change is in three runs."""
LEAST_ALIKE = 0.35
"""Short texts of which the sketches are less alike by this than asked for are not read."""

_AT_ONCE = 50_000


class Pairs(Struct, frozen=True):
    """Pairs of places, each once, in order, and how alike they are."""

    left: Places
    right: Places
    similarity: NDArray[np.float64]


def near_pairs(sketch: pl.Series, asked: Asked) -> Pairs:
    """Return pairs of texts that are as similar as is asked for, by their sketches (n,): see `candidates` for which."""
    counts = counts_of(sketch)
    found = [
        _long_pairs(sketch, np.flatnonzero(counts >= LONG), asked),
        _short_pairs(sketch, np.flatnonzero(counts < SHORT), asked),
    ]
    codes = np.concatenate([each.codes for each in found])
    similarity = np.concatenate([each.estimate for each in found])
    order = np.lexsort((-similarity, codes))  # a pair that was found twice has two similarities: the higher counts
    first = order[np.concatenate([[True], np.diff(codes[order]) > 0])[: len(order)]]
    first = first[similarity[first] >= asked.similarity - 1e-9]
    left, right = places_of(codes[first])
    return Pairs(left, right, similarity[first])


def _long_pairs(sketch: pl.Series, places: Places, asked: Asked) -> Candidates:
    """Return pairs of long texts by the Jaccard similarity of their words, estimated where the estimate will do."""
    values = word_values(sketch.gather(places) if len(places) < len(sketch) else sketch)
    found = candidates(values, places, asked, asked.similarity, asked.similarity - DOUBT)
    similarity = found.estimate.copy()
    unsure = np.flatnonzero(similarity < asked.similarity + DOUBT)
    left, right, needed = _needed(found.codes[unsure])
    similarity[unsure] = jaccard(word_sets(_read(needed, asked)), left, right)
    return Candidates(found.codes, similarity)


def _short_pairs(sketch: pl.Series, places: Places, asked: Asked) -> Candidates:
    """Return pairs of short texts by what `short_similarity` says."""
    own = sketch.gather(places)
    similar = max(asked.similarity - CHARACTERS, 0.1)
    found = candidates(character_values(own), places, asked, similar, asked.similarity - LEAST_ALIKE)
    rests, owners = rests_of(own)
    codes = distinct(np.concatenate([found.codes, sharing(rests, places[owners], asked)]))
    left, right, needed = _needed(codes)
    texts = [text for block in _read(needed, asked) for text in block]
    return Candidates(codes, short_similarity(texts, left, right, asked.similarity))


def _needed(codes: Codes) -> tuple[Places, Places, Places]:
    """Return the pairs' texts by their place among those that are needed, and the places of these."""
    needed, at = np.unique(np.concatenate(places_of(codes)), return_inverse=True)
    return at[: len(codes)], at[len(codes) :], needed


def _read(places: Places, asked: Asked) -> Iterator[Sequence[str]]:
    for start in range(0, len(places), _AT_ONCE):
        yield asked.texts(places[start : start + _AT_ONCE])
