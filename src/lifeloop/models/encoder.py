"""Encoder: a sentence encoder's vector of the text under a linear head.

The encoder is as published, or fine-tuned, in which case its weights lie beside the head.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.candidates import Answer, Candidate, Estimate, Machine, Request
from lifeloop.core.data import Profile
from lifeloop.core.errors import ModelError
from lifeloop.models import linear
from lifeloop.models.model import Model, whole
from lifeloop.models.weights import find_safetensors

if TYPE_CHECKING:
    from lifeloop.models.transformers_encoder import SentenceEncoder

TUNED = "encoder"
"""Folder beside the head that holds a fine-tuned encoder."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which encoder, how much text, how its head is regularised."""

    model: str
    """Folder with model.safetensors, "package:NAME" or "hub:ORG/NAME"."""
    max_tokens: int = 256
    """Longer inputs are cut."""
    c: float = 10.0
    """Inverse strength of the head's regularisation."""


class Encoder:
    """An encoder and a head."""

    batch_size = 64
    concurrency = 1

    def __init__(
        self, encoder: "SentenceEncoder", weights: np.ndarray, bias: np.ndarray, labels: Sequence[str]
    ) -> None:
        self._encoder = encoder
        self._weights = weights
        self._bias = bias
        self._labels = tuple(labels)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the likeliest label of each text."""
        return linear.answers(self.probabilities(requests), self._labels)

    def probabilities(self, requests: Sequence[Request]) -> NDArray[np.float32]:
        """Return the probability of every label for each text: (n, n_labels)."""
        if not requests:  # the tokeniser wants a text at least
            return np.zeros((0, len(self._labels)), dtype=np.float32)
        vectors = self._encoder.recall([request.text for request in requests])
        return linear.softmax(vectors @ self._weights.T + self._bias)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one unit vector a text, without the head. Any thread may ask, also while others are answered."""
        return self._encoder.encode(texts).tolist() if texts else []

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Return how many tokens the texts are read as."""
        return sum(map(len, self._encoder.tokens(texts))) if texts else 0

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the label, then the answer."""
        return whole(self, request)

    def close(self) -> None:
        """Nothing to free but memory."""


def open_encoder(model: str, max_tokens: int, where: str, tuned: Path | None = None) -> "SentenceEncoder":
    """Return the encoder that a setting names, or the tuned one, for its caller alone to read or to tune.

    Raises ModelError where torch is not installed, and where the weights cannot be loaded.
    """
    opened: SentenceEncoder = _code(where).SentenceEncoder(tuned or find_safetensors(model, where), max_tokens, where)
    return opened


def shared_encoder(model: str, max_tokens: int, where: str, tuned: Path | None = None) -> "SentenceEncoder":
    """Return the same, but the one that other candidates of this process read too: nobody may tune it."""
    opened: SentenceEncoder = _code(where).shared(tuned or find_safetensors(model, where), max_tokens, where)
    return opened


def _code(where: str) -> ModuleType:
    # Threads that wait for each other by spinning take twice the time on a machine that is a little busy. Read by the
    # library once, when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from lifeloop.models import transformers_encoder
    except ModuleNotFoundError as error:
        raise ModelError(f"{error.name} is not installed", where=where, fix="pip install 'lifeloop[local]'") from None
    return transformers_encoder


class EncoderKind:
    """Model kind "encoder"."""

    settings = Settings
    tasks = ("classify",)
    version = "1"

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the encoder with its head."""
        assert folder is not None, "the trainer of this kind always writes a folder"
        settings = msgspec.convert(candidate.settings, Settings)
        tuned = folder / TUNED if (folder / TUNED).exists() else None
        encoder = shared_encoder(settings.model, settings.max_tokens, f"candidates.{candidate.name}.model", tuned)
        weights, bias = linear.load_head(folder)
        return Encoder(encoder, weights, bias, candidate.labels)

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return the time of the encoder over the training inputs, and the memory of torch with its weights."""
        try:
            size = (find_safetensors(settings.model, "") / "model.safetensors").stat().st_size
        except ModelError:
            size = 90_000_000
        seconds = seconds_per_item(size / 4, settings.max_tokens, profile, machine)
        head = profile.n_train * max(profile.n_labels, 2) * 4e-6
        return Estimate(
            memory_gb=0.45 + 2 * size / 1e9,
            build_seconds=5.0 + profile.n_train * seconds + head,
            seconds_per_item=seconds + 0.004,
            basis=f"{size / 4e6:.0f}M parameters, {min(profile.mean_tokens, settings.max_tokens):.0f} tokens an item",
        )


def seconds_per_item(parameters: float, max_tokens: int, profile: Profile, machine: Machine) -> float:
    """Return the time to encode an input: two operations a token and parameter, embeddings apart, at 70% of peak."""
    tokens = min(profile.mean_tokens + 2, max_tokens)
    return 2 * parameters * 0.5 * tokens / (machine.gflops * 0.7 * 1e9)


KIND = EncoderKind()
