"""How an encoder is tuned: what learns how fast, which texts go together, and what of them is hidden.

Takes an encoder, lengths and a seed; gives groups of weights, batches and masked ids. Knows nothing of labels.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from lifeloop.models.devices import cpu_has_bfloat16

if TYPE_CHECKING:
    import torch

    from lifeloop.models.transformers_encoder import SentenceEncoder

WINDOW = 50
"""Batches among which texts are sorted by length."""


class Pace(Struct, frozen=True):
    """How long and how fast."""

    epochs: int
    batch: int
    learning_rate: float
    head_learning_rate: float
    layer_decay: float
    warmup: float
    weight_decay: float
    frozen_layers: int
    label_smoothing: float
    average: float
    hidden: float
    shares: tuple[float, ...]
    patience: int


def groups_of(encoder: "SentenceEncoder", head: "torch.nn.Linear", pace: Pace) -> list[dict[str, Any]]:
    """Return what is trained, by learning rate: lower layers learn more slowly (Howard and Ruder, 2018).

    Embeddings stay as they are: they are half of the weights, and a fine-tuning set holds few of their words.
    """
    import torch

    stack = next(part for part in encoder.body.modules() if isinstance(part, torch.nn.ModuleList))
    for parameter in encoder.body.parameters():
        parameter.requires_grad = False
    groups: list[dict[str, Any]] = []
    for depth, layer in enumerate(stack):
        if depth < pace.frozen_layers:
            continue
        rate = pace.learning_rate * pace.layer_decay ** (len(stack) - 1 - depth)
        matrices = [parameter for parameter in layer.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in layer.parameters() if parameter.ndim <= 1]
        groups += [
            {"params": matrices, "lr": rate, "weight_decay": pace.weight_decay},
            {"params": others, "lr": rate, "weight_decay": 0.0},
        ]
        for parameter in (*matrices, *others):
            parameter.requires_grad = True
    tops = list(head.parameters())
    return [*groups, {"params": tops, "lr": pace.head_learning_rate, "weight_decay": pace.weight_decay}]


def rise_and_fall(steps: int, warmup: float) -> Callable[[int], float]:
    """Return the share of its rate that everything learns at in a step: up in a line, and down to nothing."""
    rising = max(1.0, warmup * steps)
    return lambda step: min((step + 1) / rising, max(0.0, (steps - step) / max(1.0, steps - rising)))


def batches(lengths: Sequence[int], size: int, seed: tuple[int, ...]) -> list[list[int]]:
    """Return places in batches of similar length: sorted within windows of fifty batches, then shuffled."""
    chance = np.random.default_rng(seed)
    order = chance.permutation(len(lengths)).tolist()
    found = []
    for start in range(0, len(order), size * WINDOW):
        window = sorted(order[start : start + size * WINDOW], key=lambda place: lengths[place])
        found += [window[begin : begin + size] for begin in range(0, len(window), size)]
    return [found[place] for place in chance.permutation(len(found))]


def with_some_hidden(tokeniser: Any, ids: "torch.Tensor", share: float) -> "torch.Tensor":
    """Return ids with a random share of the words behind the mask: a text is to be known by any of its words."""
    import torch

    if not share:
        return ids
    word = torch.isin(ids, torch.tensor(tokeniser.all_special_ids, device=ids.device), invert=True)
    hidden = (torch.rand(ids.shape) < share).to(ids.device) & word
    mask = tokeniser.unk_token_id if tokeniser.mask_token_id is None else tokeniser.mask_token_id
    return ids.masked_fill(hidden, mask)


def half_precision(encoder: "SentenceEncoder") -> Any:
    """Return the context in which matrices are multiplied in bfloat16, where that is quicker; weights stay float32."""
    import torch

    where = encoder.device.type
    return torch.autocast(where, dtype=torch.bfloat16, enabled=where == "cuda" or cpu_has_bfloat16())
