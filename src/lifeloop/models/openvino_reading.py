"""A language model's network at work in OpenVINO: reads prompts that begin alike together, gives next-token chances.

What many prompts have in common is computed once and kept. Takes token ids, gives probabilities; knows nothing of
templates, labels or tasks. The network keeps its state inside, so one thread at a time.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lifeloop.models.scoring import Look

if TYPE_CHECKING:
    import openvino

Kept = list[Any]
"""The network's state, an array for each of its variables."""
MOST_KEPT = 4
"""Beginnings of prompts whose states are kept."""


class Network:
    """A compiled network with an inner cache, from which rows are picked by `beam_idx`."""

    def __init__(self, compiled: "openvino.CompiledModel") -> None:
        self._request = compiled.create_infer_request()
        self._begun: dict[tuple[int, ...], Kept] = {}

    def read(self, head: Sequence[int], rests: Sequence[Sequence[int]]) -> "Reading":
        """Return what the model makes of prompts that begin with `head` and go on with one of `rests` each."""
        key = tuple(head)
        if key and key not in self._begun:
            self._request.reset_state()
            self.step([list(key)], np.ones((1, len(key)), np.int64), np.arange(len(key))[None], [0])
            if len(self._begun) >= MOST_KEPT:
                self._begun.pop(next(iter(self._begun)))
            self._begun[key] = self.state()
        elif key:
            self.restore(self._begun[key])
        else:
            self._request.reset_state()
        return Reading(self, len(key), rests)

    def step(self, ids: Sequence[Sequence[int]], mask: Any, places: Any, rows: Sequence[int]) -> Any:
        """Return the logits of the next token after each row: (n, vocabulary). Rows continue those of `rows`."""
        found = self._request.infer(
            {
                "input_ids": np.array(ids, dtype=np.int64),
                "attention_mask": mask,
                "position_ids": np.ascontiguousarray(places, dtype=np.int64),
                "beam_idx": np.array(rows, dtype=np.int32),
            }
        )
        return found["logits"][:, -1]

    def state(self) -> Kept:
        """Return a copy of the state."""
        return [variable.state.data.copy() for variable in self._request.query_state()]

    def restore(self, kept: Kept) -> None:
        """Put a state back."""
        import openvino

        for variable, value in zip(self._request.query_state(), kept, strict=True):
            variable.state = openvino.Tensor(value)


class Reading:
    """Prompts that were read, from where texts can go on."""

    def __init__(self, network: Network, n_head: int, rests: Sequence[Sequence[int]]) -> None:
        self._network = network
        width = max(len(rest) for rest in rests)
        # Padded between beginning and rest, so that all rows end alike; the mask hides it, positions do not count it.
        ids = [[0] * (width - len(rest)) + list(rest) for rest in rests]
        real = np.array([[0] * (width - len(rest)) + [1] * len(rest) for rest in rests], dtype=np.int64)
        self._mask = np.concatenate([np.ones((len(rests), n_head), np.int64), real], axis=1)
        places = np.maximum(n_head + real.cumsum(axis=1) - 1, 0)
        self._ends = places[:, -1] + 1
        rows = [0] * len(rests) if n_head else list(range(len(rests)))
        self._next = network.step(ids, self._mask, places, rows)
        self._state: Kept | None = None

    def chances(self, looks: Sequence[tuple[int, Look]]) -> list[dict[int, float]]:
        """Return the probabilities of the allowed next tokens, normalised among themselves, for each row's look."""
        found: dict[int, dict[int, float]] = {}
        depths: dict[int, list[int]] = {}
        for place, (_, (prefix, _)) in enumerate(looks):
            depths.setdefault(len(prefix), []).append(place)
        for places in depths.values():
            logits = self._after([looks[place][0] for place in places], [looks[place][1][0] for place in places])
            for row, place in zip(logits, places, strict=True):
                found[place] = _shares(row, looks[place][1][1])
        return [found[place] for place in range(len(looks))]

    def _after(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> Any:
        """Return the logits where row `rows[i]` has gone on with `texts[i]`, all of one length."""
        if not texts[0]:
            return self._next[list(rows)]
        if self._state is None:
            self._state = self._network.state()
        else:
            self._network.restore(self._state)
        picked = list(rows)
        n = len(texts[0])
        mask = np.concatenate([self._mask[picked], np.ones((len(picked), n), np.int64)], axis=1)
        return self._network.step(texts, mask, self._ends[picked][:, None] + np.arange(n), picked)


def _shares(logits: Any, allowed: Sequence[int]) -> dict[int, float]:
    picked = logits[list(allowed)].astype(np.float64)
    raised = np.exp(picked - picked.max())
    return {token: max(float(share), 1e-12) for token, share in zip(allowed, raised / raised.sum(), strict=True)}
