"""How alike two texts are, exactly: what is meant by near duplicates.

Takes normalised texts and pairs of them, gives similarities from 0 to 1, a whole array at a time. Long texts are as
alike as the sets of their words are. In a short one a single word is much, so it is also near to a text that is the
same but for a few characters, or for one word.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.guards.near.lsh import distinct
from lifeloop.guards.near.sketch import batches, hashed_words

_AT_ONCE = 50_000

Places = NDArray[np.int64]


class WordSets(Struct, frozen=True):
    """The different words of texts, as hashes of 32 bits: once in a million pairs of 100 words, two words share one."""

    hashes: NDArray[np.uint32]
    """(m,) those of one text after those of another."""
    starts: Places
    """(n + 1,) where each text's begin."""


def word_sets(blocks: Iterable[Sequence[str]]) -> WordSets:
    """Return the sets of words of normalised texts, which come a block at a time."""
    hashes, sizes = [np.zeros(0, dtype=np.uint32)], [np.zeros(1, dtype=np.int64)]
    for block in blocks:
        for texts in batches(block):
            words, starts = hashed_words(texts)
            owner = np.repeat(np.arange(len(texts), dtype=np.uint64), np.diff(starts))
            owned = distinct(owner << np.uint64(32) | words >> np.uint64(32))
            hashes.append(owned.astype(np.uint32))
            sizes.append(np.bincount((owned >> np.uint64(32)).astype(np.int64), minlength=len(texts)))
    return WordSets(np.concatenate(hashes), np.cumsum(np.concatenate(sizes)))


def jaccard(sets: WordSets, left: Places, right: Places) -> NDArray[np.float64]:
    """Return the Jaccard similarity (m,) of each pair of word sets."""
    found = np.empty(len(left))
    for start in range(0, len(left), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        found[part] = _jaccard(sets, left[part], right[part])
    return found


def _jaccard(sets: WordSets, left: Places, right: Places) -> NDArray[np.float64]:
    sizes = np.diff(sets.starts)
    owned = np.sort(np.concatenate([_owned(sets, sizes, left), _owned(sets, sizes, right)]))
    twice = owned[1:][owned[1:] == owned[:-1]]
    common = np.bincount((twice >> np.uint64(32)).astype(np.int64), minlength=len(left))
    return common / np.maximum(sizes[left] + sizes[right] - common, 1)


def _owned(sets: WordSets, sizes: Places, texts: Places) -> NDArray[np.uint64]:
    """Return the hashes of each text's words below the number of the pair that it is in."""
    own = sizes[texts]
    begin = np.repeat(sets.starts[texts] - (np.cumsum(own) - own), own)
    pair = np.repeat(np.arange(len(texts), dtype=np.uint64), own)
    return pair << np.uint64(32) | sets.hashes[begin + np.arange(len(begin))].astype(np.uint64)


def short_similarity(texts: Sequence[str], left: Places, right: Places, least: float) -> NDArray[np.float64]:
    """Return how alike short texts are, (m,) for pairs of places in `texts`; what is below `least` may be given as 0.

    The largest of three: the Jaccard similarity of the words; (n - d) / (n + d) of n characters of which d must be
    changed, which is what Jaccard gives where d of n things are replaced; and n / (n + 1) of n words of which one must
    be, which is what it gives where a word is put in: at 0.8, one word of four.
    """
    found = jaccard(word_sets([texts]), left, right)
    lengths = np.array([text.count(" ") + 1 for text in texts])
    for start in range(0, len(left), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        found[part] = np.maximum(found[part], _by_characters(texts, left[part], right[part], least))
        longer = np.maximum(lengths[left[part]], lengths[right[part]])
        rest = start + np.flatnonzero(found[part] < 1 - 1 / (longer + 1))
        found[rest] = np.maximum(found[rest], _but_for_one_word(texts, left[rest], right[rest]))
    return found


def _by_characters(texts: Sequence[str], left: Places, right: Places, least: float) -> NDArray[np.float64]:
    """By the optimal string alignment distance (Damerau, 1964): letters put in, left out, changed or swapped."""
    from rapidfuzz.distance import OSA
    from rapidfuzz.process import cpdist

    ones, others = [texts[place] for place in left], [texts[place] for place in right]
    lengths = np.maximum([len(text) for text in ones], [len(text) for text in others]).astype(np.float64)
    most = int(lengths.max(initial=0) * (1 - least) / (1 + least) + 1e-9)
    distances = cpdist(ones, others, scorer=OSA.distance, score_cutoff=most, workers=-1)
    return np.where(distances <= most, lengths - distances, 0) / np.maximum(lengths + distances, 1)


def _but_for_one_word(texts: Sequence[str], left: Places, right: Places) -> NDArray[np.float64]:
    """By Levenshtein's distance of words, where it is one word put in, left out or replaced."""
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cpdist

    ones, others = [texts[place].split(" ") for place in left], [texts[place].split(" ") for place in right]
    lengths = np.maximum([len(words) for words in ones], [len(words) for words in others])
    changes = cpdist(ones, others, scorer=Levenshtein.distance, score_cutoff=1, workers=-1)
    return np.where(changes <= 1, 1 - 1 / (lengths + 1), 0.0)
