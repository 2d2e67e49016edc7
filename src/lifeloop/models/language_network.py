"""A causal language model of transformers at work: it reads prompts that begin alike together, and writes.

Takes token ids, gives probabilities and token ids. What many prompts have in common is computed once and kept, with the
soft prompt, where there is one, before it. Knows nothing of templates, labels or tasks.
"""

import inspect
from collections.abc import Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from lifeloop.models.scoring import Look

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

MOST_KEPT = 8
"""Beginnings of prompts whose states are kept: a candidate has one, conversations have one each."""


class Drawing(Struct, frozen=True):
    """How the next token of a text is chosen."""

    temperature: float = 0.0
    """0: the likeliest one."""
    seed: int = 0


class LanguageNetwork:
    """A loaded model on its device. One thread at a time."""

    def __init__(self, model: "PreTrainedModel", soft_prompt: "Tensor | None" = None) -> None:
        """`soft_prompt` holds vectors that go before every prompt: (n, width)."""
        self.model = model
        # The last of several positions is a view with gaps, for which torch would copy the whole layer once a row.
        model.get_output_embeddings().register_forward_pre_hook(lambda _, given: (given[0].contiguous(),))
        # Newer releases of transformers call the argument `cache`.
        self.cache_name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
        self._soft = soft_prompt
        self._begun: dict[tuple[int, ...], Any] = {}

    @property
    def n_soft(self) -> int:
        """How many vectors go before every prompt."""
        return 0 if self._soft is None else len(self._soft)

    def read(self, head: Sequence[int], rests: Sequence[Sequence[int]]) -> "Reading":
        """Return what the model makes of prompts that begin with `head` and go on with one of `rests` each."""
        import torch

        with torch.inference_mode():
            cache, n_head = self._begin(tuple(head), len(rests))
            return Reading(self, cache, n_head, rests)

    def _begin(self, head: tuple[int, ...], n: int) -> tuple[Any, int]:
        """Return the state after a beginning, once for each of `n` prompts, and its length with the soft prompt."""
        import torch
        from transformers import DynamicCache

        length = self.n_soft + len(head)
        if not length:
            return DynamicCache(config=self.model.config), 0
        if head not in self._begun:
            embed = self.model.get_input_embeddings()
            known = embed(torch.tensor([head], dtype=torch.long, device=self.model.device))
            if self._soft is not None:
                known = torch.cat([self._soft.to(known)[None], known], dim=1)
            cache = DynamicCache(config=self.model.config)
            self.model(inputs_embeds=known, use_cache=True, logits_to_keep=1, **{self.cache_name: cache})
            if len(self._begun) >= MOST_KEPT:
                self._begun.pop(next(iter(self._begun)))
            self._begun[head] = cache
        return _rows(self._begun[head], [0] * n), length


class Reading:
    """Prompts that were read, from where texts can go on. `next_logits` has a row for each: (n, vocabulary)."""

    def __init__(self, network: LanguageNetwork, cache: Any, n_head: int, rests: Sequence[Sequence[int]]) -> None:
        import torch

        self._model, self._cache_name = network.model, network.cache_name
        self._cache = cache
        device = self._model.device
        width = max(len(rest) for rest in rests)
        # Padded between beginning and rest, so that all rows end alike; the mask hides it, positions do not count it.
        ids = torch.tensor([[0] * (width - len(rest)) + list(rest) for rest in rests], dtype=torch.long, device=device)
        real = torch.tensor([[0] * (width - len(rest)) + [1] * len(rest) for rest in rests], device=device)
        before = torch.ones((len(rests), n_head), dtype=real.dtype, device=device)
        self._mask = torch.cat([before, real], dim=1)
        places = (n_head + real.cumsum(dim=1) - 1).clamp(min=0)
        self._ends = places[:, -1] + 1
        self._length = n_head + width
        self.next_logits = self._forward(ids, places, self._mask, self._cache)

    def _forward(self, ids: "Tensor", places: "Tensor", mask: "Tensor", cache: Any) -> "Tensor":
        out = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=places,
            use_cache=True,
            logits_to_keep=1,
            **{self._cache_name: cache},
        )
        logits: Tensor = out.logits[:, -1]
        return logits.float()

    def logits_after(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> "Tensor":
        """Return the logits of the next token where row `rows[i]` has gone on with `texts[i]`: (n, vocabulary).

        Texts must be of one length. The rows stay where they were.
        """
        import torch

        if not texts[0]:
            return self.next_logits[list(rows)]
        with torch.inference_mode():
            cache = _rows(self._cache, rows)
            picked = torch.tensor(list(rows), device=self._mask.device)
            ids = torch.tensor([list(text) for text in texts], dtype=torch.long, device=self._mask.device)
            steps = torch.arange(ids.shape[1], device=ids.device)
            places = self._ends[picked][:, None] + steps
            mask = torch.cat([self._mask[picked], torch.ones_like(ids)], dim=1)
            return self._forward(ids, places, mask, cache)

    def chances(self, looks: Sequence[tuple[int, Look]]) -> list[dict[int, float]]:
        """Return the probabilities of the allowed next tokens, normalised among themselves, for each row's look.

        Looks of one depth are made together.
        """
        found: dict[int, dict[int, float]] = {}
        depths: dict[int, list[int]] = {}
        for place, (_, (prefix, _)) in enumerate(looks):
            depths.setdefault(len(prefix), []).append(place)
        for places in depths.values():
            logits = self.logits_after([looks[place][0] for place in places], [looks[place][1][0] for place in places])
            for row, place in zip(logits.cpu(), places, strict=True):
                allowed = looks[place][1][1]
                shares = row[list(allowed)].softmax(dim=-1).tolist()
                found[place] = {token: max(share, 1e-12) for token, share in zip(allowed, shares, strict=True)}
        return [found[place] for place in range(len(looks))]

    def write(self, drawings: Sequence[Drawing], ends: frozenset[int], limits: Sequence[int]) -> Iterator[list[int]]:
        """Yield the next token of every row, step by step; -1 for those that have ended. Uses the reading up.

        A row ends with a token of `ends`, which is not yielded, or after its limit.
        """
        import torch

        dice = [torch.Generator().manual_seed(drawing.seed % 2**63) for drawing in drawings]
        logits, written = self.next_logits, 0
        going = [limit > 0 for limit in limits]
        while any(going):
            chosen = [_choose(row, how, die) for row, how, die in zip(logits, drawings, dice, strict=True)]
            going = [alive and token not in ends for alive, token in zip(going, chosen, strict=True)]
            if not any(going):
                return
            yield [token if alive else -1 for alive, token in zip(going, chosen, strict=True)]
            written += 1
            going = [alive and written < limit for alive, limit in zip(going, limits, strict=True)]
            if any(going):
                logits = self._step(chosen, written)

    def _step(self, tokens: Sequence[int], written: int) -> "Tensor":
        import torch

        with torch.inference_mode():
            ids = torch.tensor(tokens, dtype=torch.long, device=self._mask.device)[:, None]
            self._mask = torch.cat([self._mask, torch.ones_like(ids)], dim=1)
            return self._forward(ids, (self._ends + written - 1)[:, None], self._mask, self._cache)


def _choose(logits: "Tensor", how: Drawing, die: "torch.Generator") -> int:
    if how.temperature <= 0:
        return int(logits.argmax())
    chances = (logits.cpu() / how.temperature).softmax(dim=-1)
    return int(chances.multinomial(1, generator=die))


def _rows(cache: Any, rows: Sequence[int]) -> Any:
    """Return a copy of a cache that has some of its rows, in that order."""
    import torch

    copied = copy(cache)
    copied.layers = [copy(layer) for layer in cache.layers]  # selecting makes new tensors and leaves the old ones
    copied.batch_select_indices(torch.tensor(list(rows), device=cache.layers[0].keys.device))
    return copied
