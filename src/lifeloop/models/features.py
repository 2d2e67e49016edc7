"""Features: what can be computed of a request, under a linear head or boosted trees. Milliseconds, no neural network.

What is computed is `feature_blocks`' business: words and characters counted and weighed by rarity, and what else the
settings ask for. All is kept as plain arrays and JSON; see docs/decisions/0004-plain-arrays.md.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.candidates import Answer, Candidate, Estimate, Machine, Request
from lifeloop.core.data import Profile
from lifeloop.core.errors import LifeloopError
from lifeloop.models import encoder, linear
from lifeloop.models.boosted import Trees, load_trees
from lifeloop.models.feature_blocks import engineered
from lifeloop.models.feature_blocks.block import Block, Matrix
from lifeloop.models.feature_blocks.blocks import dense, load_blocks, side_by_side
from lifeloop.models.feature_settings import Settings
from lifeloop.models.model import Model, whole

__all__ = ["KIND", "Boosting", "Features", "FeaturesKind", "Head", "Linear", "Settings"]


class Head(Protocol):
    """What reads the features."""

    def logits(self, features: Matrix) -> NDArray[np.float32]:
        """Return (n, n_labels)."""


class Linear(Struct, frozen=True):
    """A weight for each label and feature."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, features: Matrix) -> NDArray[np.float32]:
        """Return (n, n_labels)."""
        return np.asarray(features @ self.weights.T + self.bias)


class Boosting(Struct, frozen=True):
    """Boosted trees, which read dense features."""

    trees: Trees

    def logits(self, features: Matrix) -> NDArray[np.float32]:
        """Return (n, n_labels)."""
        return self.trees.logits(dense(features))


class Features:
    """Blocks of features under a head."""

    batch_size = 256
    concurrency = 8

    def __init__(self, blocks: Sequence[Block], head: Head, labels: Sequence[str]) -> None:
        self._blocks = tuple(blocks)
        self._head = head
        self._labels = tuple(labels)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the likeliest label of each text."""
        try:
            return linear.answers(self.probabilities(requests), self._labels)
        except LifeloopError as error:  # a function of the project's own fails on one of them
            if len(requests) > 1:
                return [answer for request in requests for answer in self.answer([request])]
            return [Answer("", error=str(error))]

    def probabilities(self, requests: Sequence[Request]) -> NDArray[np.float32]:
        """Return the probability of every label for each text: (n, n_labels)."""
        if not requests:  # scikit-learn wants a row at least
            return np.zeros((0, len(self._labels)), dtype=np.float32)
        return linear.softmax(self._head.logits(side_by_side([block.transform(requests) for block in self._blocks])))

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the label, then the answer."""
        return whole(self, request)

    def close(self) -> None:
        """Nothing to free."""


class FeaturesKind:
    """Model kind "features"."""

    settings = Settings
    tasks = ("classify",)
    version = "1"

    def columns(self, settings: Settings) -> tuple[str, ...]:
        """Return the columns of data.slices that a request should bring."""
        return settings.columns

    def files(self, settings: Settings) -> dict[str, str]:
        """Return the files of words and of functions that the settings name."""
        lists = {f"lexicons.{name}": words for name, words in settings.lexicons.items() if isinstance(words, str)}
        return lists | engineered.files_of(settings)

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the model from its arrays."""
        assert folder is not None, "the trainer of this kind always writes a folder"
        settings = msgspec.convert(candidate.settings, Settings)
        trees = settings.head == "boosting"
        head: Head = Boosting(load_trees(folder)) if trees else Linear(*linear.load_head(folder))
        return Features(load_blocks(folder, settings), head, candidate.labels)

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return what counting and a solver take; a solver's time grows with rows times labels."""
        characters = profile.n_train * profile.mean_chars
        terms = min(40 * characters**0.6, 2e6)
        n_labels = max(profile.n_labels, 2)
        head = {"svm": 5e-6, "logistic": 5e-5, "boosting": 2e-6 * settings.trees}[settings.head]
        own = Estimate(
            memory_gb=0.25 + terms * (max(profile.n_labels, 1) * 4 + 200) / 1e9,
            build_seconds=1.0 + characters * 3e-6 + profile.n_train * n_labels * head,
            seconds_per_item=3e-4 + profile.mean_chars * 1e-6,
            basis=f"{characters / 1e6:.1f}M characters, {profile.n_labels} labels",
        )
        if not settings.encoder:
            return own
        wanted = encoder.Settings(model=settings.encoder, max_tokens=settings.max_tokens)
        vectors = encoder.KIND.estimate(wanted, profile, machine)
        return Estimate(
            memory_gb=own.memory_gb + vectors.memory_gb,
            build_seconds=own.build_seconds + vectors.build_seconds,
            seconds_per_item=own.seconds_per_item + vectors.seconds_per_item,
            basis=f"{own.basis}; {vectors.basis}",
        )


KIND = FeaturesKind()
