"""ONNX encoder: a sentence encoder as an ONNX graph, usually in int8, under a linear head. Serves without torch.

Made from a candidate of kind "encoder" by the adaptation "onnx". Texts are read one at a time: nothing is padded, and
since int8 scales follow what is in a batch, a text's answer would otherwise depend on its neighbours.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lifeloop.core.candidates import Answer, Candidate, Estimate, Machine, Request
from lifeloop.core.data import Profile
from lifeloop.core.errors import ModelError
from lifeloop.models import encoder, linear
from lifeloop.models.model import Model, whole

GRAPH, TOKENISER = "encoder.onnx", "tokenizer.json"
INPUT, OUTPUT = "input_ids", "vector"


class Settings(encoder.Settings, frozen=True, forbid_unknown_fields=True):
    """Those of the encoder that it was made from, and how it runs."""

    precision: str = "int8"
    """In which numbers the graph computes."""
    threads: int = 1
    """That one text is computed by; short texts gain nothing from more."""


class OnnxVectors:
    """An encoder's graph with its tokeniser. Threads may share it."""

    def __init__(self, graph: Path, tokeniser: Path, max_tokens: int, threads: int, where: str) -> None:
        try:
            import onnxruntime
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            fix = "pip install 'lifeloop[onnx]'"
            raise ModelError(f"{error.name} is not installed", where=where, fix=fix) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._tokeniser: Any = Tokenizer.from_file(str(tokeniser))
            self._session: Any = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # both libraries have a kind for every way a file can be wrong
            raise ModelError(
                f"onnxruntime cannot load {graph.name}: {error}", where=where, fix="adapt it anew"
            ) from error
        self._tokeniser.no_padding()
        self._tokeniser.enable_truncation(max_tokens)

    def tokens(self, text: str) -> list[int]:
        """Return token ids, cut to `max_tokens`."""
        return list(self._tokeniser.encode(text).ids)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a text: float32 (n, width)."""
        return np.concatenate(
            [self._session.run([OUTPUT], {INPUT: np.array([self.tokens(text)], dtype=np.int64)})[0] for text in texts]
        )


class OnnxEncoder:
    """A graph and a head."""

    batch_size = 1
    concurrency = 4

    def __init__(
        self, vectors: OnnxVectors, weights: NDArray[np.float32], bias: NDArray[np.float32], labels: Sequence[str]
    ) -> None:
        self._vectors = vectors
        self._weights = weights
        self._bias = bias
        self._labels = tuple(labels)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the likeliest label of each text."""
        return linear.answers(self.probabilities(requests), self._labels)

    def probabilities(self, requests: Sequence[Request]) -> NDArray[np.float32]:
        """Return the probability of every label for each text: (n, n_labels)."""
        if not requests:
            return np.zeros((0, len(self._labels)), dtype=np.float32)
        vectors = self._vectors.encode([request.text for request in requests])
        return linear.softmax(vectors @ self._weights.T + self._bias)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one unit vector a text, without the head. Any thread may ask, also while others are answered."""
        return self._vectors.encode(texts).tolist() if texts else []

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Return how many tokens the texts are read as."""
        return sum(len(self._vectors.tokens(text)) for text in texts)

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the label, then the answer."""
        return whole(self, request)

    def close(self) -> None:
        """Nothing to free but memory."""


class OnnxEncoderKind:
    """Model kind "onnx-encoder"."""

    settings = Settings
    tasks = ("classify",)
    version = "1"

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the graph with its head. Raises ModelError where it was not made from an encoder."""
        where = f"candidates.{candidate.name}"
        if folder is None or not (folder / GRAPH).exists():
            raise ModelError(
                "an onnx-encoder is made from another candidate",
                where=where,
                fix='write parent = "NAME" of one with kind = "encoder", and adapt = "onnx", in place of `kind`',
            )
        settings = msgspec.convert(candidate.settings, Settings)
        vectors = OnnxVectors(folder / GRAPH, folder / TOKENISER, settings.max_tokens, settings.threads, where)
        return OnnxEncoder(vectors, *linear.load_head(folder), candidate.labels)

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return the encoder's, with the time to export and to compare; int8 serves some three times faster."""
        base = encoder.KIND.estimate(settings, profile, machine)
        faster = 3.0 if settings.precision == "int8" else 1.5
        seconds = base.seconds_per_item / faster
        return Estimate(
            memory_gb=0.15 + (base.memory_gb - 0.45) / (4 if settings.precision == "int8" else 1),
            build_seconds=20.0 + profile.n_validation * (base.seconds_per_item + 2 * seconds),
            seconds_per_item=seconds,
            basis=f"{base.basis}, {settings.precision}",
        )


KIND = OnnxEncoderKind()
