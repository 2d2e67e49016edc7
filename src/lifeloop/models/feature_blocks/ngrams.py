"""Words and characters counted, and weighed by rarity (TF-IDF). The blocks that every plain candidate has.

They are kept as their terms (JSON) and weights (a plain array), not as library objects: the same training gives the
same bytes, and there is nothing in them to trust. See docs/decisions/0004-plain-arrays.md.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.candidates import Request
from lifeloop.models.feature_blocks.block import Fitting, Matrix
from lifeloop.models.feature_settings import Settings

WORD_PATTERN = r"(?u)\b\w+\b"


class NgramBlock:
    """A fitted vectoriser of scikit-learn under the name of its files."""

    def __init__(self, name: str, vectoriser: Any) -> None:
        self._name = name
        self._vectoriser = vectoriser

    def transform(self, requests: Sequence[Request]) -> Matrix:
        """Return weighed counts: sparse, rows of unit length."""
        return self._vectoriser.transform([request.text for request in requests])

    def save(self, folder: Path) -> None:
        """Write the terms in the order of their columns, and their weights."""
        save_vectoriser(folder, self._name, self._vectoriser)

    def restricted(self, kept: NDArray[np.intp]) -> "NgramBlock":
        """Return the block with only the n-grams of these columns, in their order."""
        terms, old = self._vectoriser.get_feature_names_out(), self._vectoriser
        narrow = old.__class__(**old.get_params() | {"min_df": 1, "vocabulary": _columns_of(terms[kept])})
        narrow.idf_ = old.idf_[kept]
        return NgramBlock(self._name, narrow)


class NgramKind(Struct, frozen=True):
    """Block "word" or "char"."""

    name: str
    analyser: str
    pattern: str | None
    """What a word is."""
    setting: str
    """The setting that says of which lengths."""

    def wanted(self, settings: Settings) -> bool:
        """Return whether n-grams of any length are counted."""
        return bool(getattr(settings, self.setting)[1])

    def fit(self, fitting: Fitting) -> tuple[NgramBlock, Matrix] | None:
        """Count the training texts; None where there is nothing to count: no words in emoji, say."""
        for fewest in (fitting.settings.min_examples, 1):  # of little text, no n-gram may occur often enough
            trained = self._vectoriser(fitting.settings).set_params(min_df=fewest)
            try:
                counted = trained.fit_transform(fitting.texts)
            except ValueError:
                continue
            return NgramBlock(self.name, trained), counted
        return None

    def load(self, folder: Path, settings: Settings) -> NgramBlock:
        """Return the block from its terms and weights."""
        terms, idf = load_terms(folder, self.name)
        loaded = self._vectoriser(settings, _columns_of(terms))
        loaded.idf_ = idf
        return NgramBlock(self.name, loaded)

    def _vectoriser(self, settings: Settings, vocabulary: dict[str, int] | None = None) -> Any:
        return vectoriser(
            self.analyser, getattr(settings, self.setting), settings.min_examples, self.pattern, vocabulary
        )


def vectoriser(
    analyser: str,
    ngrams: tuple[int, int],
    min_examples: int,
    pattern: str | None = None,
    vocabulary: dict[str, int] | None = None,
) -> Any:
    """Return an unfitted vectoriser, or with a vocabulary one that only wants its weights."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer=analyser,
        ngram_range=ngrams,
        token_pattern=pattern,
        min_df=1 if vocabulary else min_examples,
        sublinear_tf=True,
        vocabulary=vocabulary,
        dtype=np.float32,
    )


def save_vectoriser(folder: Path, name: str, fitted: Any) -> None:
    """Write a fitted vectoriser: its terms in the order of their columns, and their weights."""
    terms = [str(term) for term in fitted.get_feature_names_out()]
    (folder / f"{name}-terms.json").write_bytes(msgspec.json.encode(terms))
    np.save(folder / f"{name}-idf.npy", fitted.idf_.astype(np.float32), allow_pickle=False)


def load_terms(folder: Path, name: str) -> tuple[list[str], NDArray[np.float32]]:
    """Return the terms and the weights that `save_vectoriser` wrote."""
    terms = msgspec.json.decode((folder / f"{name}-terms.json").read_bytes(), type=list[str])
    return terms, np.load(folder / f"{name}-idf.npy", allow_pickle=False)


def _columns_of(terms: Sequence[str]) -> dict[str, int]:
    return {str(term): column for column, term in enumerate(terms)}


WORDS = NgramKind("word", "word", WORD_PATTERN, "word_ngrams")
CHARACTERS = NgramKind("char", "char_wb", None, "char_ngrams")
