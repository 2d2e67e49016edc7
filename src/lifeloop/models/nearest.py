"""Nearest: the reference of the most similar training example, by words. The floor for generate and chat.

It invents nothing, costs nothing, and is hard to beat where people ask the same things again and again.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop.core.candidates import Answer, Candidate, Estimate, Machine, Request
from lifeloop.core.data import Profile
from lifeloop.models.model import Model, whole

FILE = "nearest.json"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set."""


class Nearest:
    """Looks up the closest training input by cosine of TF-IDF vectors."""

    batch_size = 256
    concurrency = 8

    def __init__(self, inputs: Sequence[str], references: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._references = list(references)
        self._vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
        self._vectors: Any = self._vectorizer.fit_transform(inputs)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the closest examples' references; the confidence is the cosine."""
        if not requests:  # scikit-learn wants a row at least
            return []
        similar = (self._vectorizer.transform([request.text for request in requests]) @ self._vectors.T).toarray()
        return [Answer(output=self._references[row.argmax()], confidence=min(1.0, float(row.max()))) for row in similar]

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the answer in one piece."""
        return whole(self, request)

    def close(self) -> None:
        """Nothing to free."""


class NearestKind:
    """Model kind "nearest"."""

    settings = Settings
    tasks = ("classify", "generate", "chat")
    version = "1"

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the model from the training pairs."""
        assert folder is not None, "the trainer of this kind always writes a folder"
        inputs, references = msgspec.json.decode((folder / FILE).read_bytes(), type=tuple[list[str], list[str]])
        return Nearest(inputs, references)

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return the size of the inverted texts and the time of a sparse product."""
        size = profile.n_train * profile.mean_chars * 4 / 1e9
        return Estimate(
            memory_gb=0.25 + size,
            build_seconds=0.5,
            seconds_per_item=2e-4 + profile.n_train * 2e-7,
            basis="size of the training text",
        )


KIND = NearestKind()
