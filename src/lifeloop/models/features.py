"""Features: words and characters counted, weighed by rarity, under a linear head. Milliseconds, no neural network.

The vectorisers are kept as their vocabularies and weights (JSON and plain arrays), not as library objects: the same
training gives the same bytes, and there is nothing in them to trust. See docs/decisions/0004-plain-arrays.md.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.candidates import Answer, Candidate, Estimate, Machine, Request
from lifeloop.core.data import Profile
from lifeloop.models import linear
from lifeloop.models.model import Model, whole

VECTORISERS = ("word", "char")


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is counted."""

    word_ngrams: tuple[int, int] = (1, 2)
    char_ngrams: tuple[int, int] = (2, 5)
    """Within words, with their edges; (0, 0) leaves characters out."""
    min_examples: int = 2
    """An n-gram must occur in this many training examples."""
    c: float = 0.5
    """Inverse strength of regularisation."""


def vectoriser(name: str, settings: Settings, vocabulary: dict[str, int] | None = None) -> Any:
    """Return an unfitted vectoriser, or with a vocabulary one that only wants its weights."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    word = name == "word"
    return TfidfVectorizer(
        analyzer="word" if word else "char_wb",
        ngram_range=settings.word_ngrams if word else settings.char_ngrams,
        token_pattern=r"(?u)\b\w+\b" if word else None,
        min_df=1 if vocabulary else settings.min_examples,
        sublinear_tf=True,
        vocabulary=vocabulary,
        dtype=np.float32,
    )


class Features:
    """A linear model over sparse counts."""

    batch_size = 256
    concurrency = 8

    def __init__(self, vectorisers: Sequence[Any], weights: Any, bias: Any, labels: Sequence[str]) -> None:
        self._vectorisers = tuple(vectorisers)
        self._weights = weights
        self._bias = bias
        self._labels = tuple(labels)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the likeliest label of each text."""
        return linear.answers(self.probabilities(requests), self._labels)

    def probabilities(self, requests: Sequence[Request]) -> NDArray[np.float32]:
        """Return the probability of every label for each text: (n, n_labels)."""
        from scipy.sparse import hstack

        if not requests:  # scikit-learn wants a row at least
            return np.zeros((0, len(self._labels)), dtype=np.float32)
        texts = [request.text for request in requests]
        counts = hstack([vectoriser.transform(texts) for vectoriser in self._vectorisers], format="csr")
        return linear.softmax(np.asarray(counts @ self._weights.T + self._bias))

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the label, then the answer."""
        return whole(self, request)

    def close(self) -> None:
        """Nothing to free."""


def save_vectoriser(folder: Path, name: str, fitted: Any) -> None:
    """Write a fitted vectoriser: its terms in the order of their columns, and their weights."""
    (folder / f"{name}-terms.json").write_bytes(
        msgspec.json.encode([str(term) for term in fitted.get_feature_names_out()])
    )
    np.save(folder / f"{name}-idf.npy", fitted.idf_.astype(np.float32), allow_pickle=False)


def load_vectoriser(folder: Path, name: str, settings: Settings) -> Any:
    """Return the vectoriser that `save_vectoriser` wrote."""
    terms = msgspec.json.decode((folder / f"{name}-terms.json").read_bytes(), type=list[str])
    loaded = vectoriser(name, settings, {term: column for column, term in enumerate(terms)})
    loaded.idf_ = np.load(folder / f"{name}-idf.npy", allow_pickle=False)
    return loaded


class FeaturesKind:
    """Model kind "features"."""

    settings = Settings
    tasks = ("classify",)
    version = "1"

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the model from its arrays."""
        assert folder is not None, "the trainer of this kind always writes a folder"
        settings = msgspec.convert(candidate.settings, Settings)
        names = [name for name in VECTORISERS if (folder / f"{name}-idf.npy").exists()]
        loaded = [load_vectoriser(folder, name, settings) for name in names]
        weights, bias = linear.load_head(folder)
        return Features(loaded, weights, bias, candidate.labels)

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return what counting and a linear solver take; a solver's time grows with rows times labels."""
        characters = profile.n_train * profile.mean_chars
        terms = min(40 * characters**0.6, 2e6)
        return Estimate(
            memory_gb=0.25 + terms * (max(profile.n_labels, 1) * 4 + 200) / 1e9,
            build_seconds=1.0 + characters * 3e-6 + profile.n_train * max(profile.n_labels, 2) * 5e-6,
            seconds_per_item=3e-4 + profile.mean_chars * 1e-6,
            basis=f"{characters / 1e6:.1f}M characters, {profile.n_labels} labels",
        )


KIND = FeaturesKind()
