"""A sentence encoder's vector of the text, beside what is counted in it.

The encoder stays as published and where it is; nothing of it is copied into the candidate. In training the vectors of
the latest few sets of texts are remembered, since a search over settings fits on the same texts again and again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lifeloop.core.candidates import Request
from lifeloop.core.content import Id, content_id
from lifeloop.core.progress import Progress, silent
from lifeloop.models.encoder import shared_encoder
from lifeloop.models.feature_blocks.block import Fitting, Matrix
from lifeloop.models.feature_settings import Settings

if TYPE_CHECKING:
    from lifeloop.models.transformers_encoder import SentenceEncoder

WHERE = "candidates.encoder"
MANY = 256
"""Texts above which they are taken to be a set that training may come back to: serving asks for no more at once."""
SETS = 4

Vectors = NDArray[np.float32]
_latest: dict[Id, Vectors] = {}
"""Vectors of sets of texts, by encoder and texts."""


class EncoderBlock:
    """An encoder whose vectors have a length of their own."""

    def __init__(self, name: str, encoder: "SentenceEncoder", weight: float) -> None:
        self._name = name
        self._encoder = encoder
        self._weight = np.float32(weight)

    def transform(self, requests: Sequence[Request]) -> Matrix:
        """Return (n, width), rows of the length that the setting says."""
        texts = [request.text for request in requests]
        found = self._encoder.recall(texts) if len(texts) <= MANY else self.encoded(texts)
        return found * self._weight

    def encoded(self, texts: Sequence[str], progress: Progress = silent) -> Vectors:
        """Return the unit vectors of a set of texts (n, width), remembered from before where it was asked for."""
        key = content_id([self._name, self._encoder.max_tokens, list(texts)])
        if key not in _latest:
            if len(_latest) >= SETS:
                del _latest[next(iter(_latest))]
            _latest[key] = self._encoder.encode(texts, progress)
        return _latest[key]

    def save(self, folder: Path) -> None:
        """Write nothing: the settings say it all."""


class EncoderBlockKind:
    """Block "encoder"."""

    name = "encoder"

    def wanted(self, settings: Settings) -> bool:
        """Return whether an encoder is named."""
        return bool(settings.encoder)

    def fit(self, fitting: Fitting) -> tuple[EncoderBlock, Matrix]:
        """Encode the training texts."""
        block = self.load(Path(), fitting.settings)
        return block, block.encoded(fitting.texts, fitting.progress) * np.float32(fitting.settings.encoder_weight)

    def load(self, folder: Path, settings: Settings) -> EncoderBlock:
        """Return the block with the encoder that other candidates of this process read too."""
        encoder = shared_encoder(settings.encoder, settings.max_tokens, WHERE)
        return EncoderBlock(settings.encoder, encoder, settings.encoder_weight)


KIND = EncoderBlockKind()
