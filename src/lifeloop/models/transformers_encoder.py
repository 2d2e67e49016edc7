"""A transformer encoder that turns texts into vectors: mean of the token states, scaled to unit length.

Plain transformers, sorted by length and batched by tokens, so that little time goes into padding. Candidates that only
read an encoder share one (`shared`); what changes its weights opens its own.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lifeloop.core.errors import ModelError

TOKENS_A_BATCH = 2048
TEXTS_A_BATCH = 256


class SentenceEncoder:
    """A loaded encoder with its tokeniser."""

    def __init__(self, folder: Path, max_tokens: int, where: str) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.set_verbosity_error()  # it reports weights that pooling does not need
        logging.disable_progress_bar()
        try:
            self.tokeniser: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            self.body: Any = AutoModel.from_pretrained(
                str(folder), local_files_only=True, dtype=torch.float32, use_safetensors=True, add_pooling_layer=False
            ).eval()
        except Exception as error:  # transformers and safetensors have a kind for every way a file can be wrong
            raise ModelError(
                f"transformers cannot load {folder.name}: {error}", where=where, fix="name a BERT-like text encoder"
            ) from error
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.body.to(self.device)
        self.max_tokens = min(max_tokens, int(self.body.config.max_position_embeddings))
        self._latest: dict[str, NDArray[np.float32]] = {}

    @property
    def width(self) -> int:
        """Number of components of a vector."""
        return int(self.body.config.hidden_size)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return token ids, cut to `max_tokens`, without padding."""
        found = self.tokeniser(
            list(texts), truncation=True, max_length=self.max_tokens, padding=False, return_attention_mask=False
        )
        return list(found["input_ids"])

    def pad(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and mask, both (n, longest), on the encoder's device."""
        longest = max(len(row) for row in rows)
        ids = torch.full((len(rows), longest), self.tokeniser.pad_token_id or 0)
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        return ids.to(self.device), mask.to(self.device)

    def vectors_of(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return unit vectors (n, width), with gradients where training wants them."""
        padded = not bool(mask.all())
        states = self.body(input_ids=ids, attention_mask=mask if padded else None).last_hidden_state
        weight = mask.unsqueeze(-1).to(states.dtype)
        return F.normalize((states * weight).sum(1) / weight.sum(1), dim=1)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], progress: Any = None) -> NDArray[np.float32]:
        """Return one unit vector a text: float32 (n, width)."""
        rows = self.tokens(texts)
        order = sorted(range(len(rows)), key=lambda place: -len(rows[place]))
        vectors = torch.empty(len(rows), self.width)
        start = 0
        while start < len(order):
            size = max(1, min(TEXTS_A_BATCH, TOKENS_A_BATCH // len(rows[order[start]])))
            batch = order[start : start + size]
            vectors[batch] = self.vectors_of(*self.pad([rows[place] for place in batch])).float().cpu()
            start += size
            if progress is not None:
                progress(min(start, len(order)), len(order), "encoding")
        return vectors.numpy()

    def recall(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return what `encode` does; texts that the latest call was asked for too are not encoded again.

        The parts of a composed candidate are asked the same texts one after the other. Whoever tunes the encoder
        calls `encode`. Threads may share it: what is kept is replaced whole, never changed.
        """
        latest = self._latest
        if any(text not in latest for text in texts):
            latest = dict(zip(texts, self.encode(texts), strict=True))
            self._latest = latest
        return np.stack([latest[text] for text in texts])

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), configuration and tokeniser."""
        self.body.save_pretrained(folder)
        self.tokeniser.save_pretrained(folder)


_OPEN: WeakValueDictionary[tuple[Path, int], SentenceEncoder] = WeakValueDictionary()
"""Encoders that some candidate of this process holds, and no longer than that."""


def shared(folder: Path, max_tokens: int, where: str) -> SentenceEncoder:
    """Return the encoder in a folder, the very one that others of this process read, if any does. Nobody may tune it.

    Raises ModelError as opening one does.
    """
    key = (folder.resolve(), max_tokens)
    found = _OPEN.get(key)
    if found is None:
        found = _OPEN[key] = SentenceEncoder(folder, max_tokens, where)
    return found
