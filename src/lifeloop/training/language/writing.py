"""Lets a language model that is being trained write, greedily, as it will when it serves.

Takes a loaded model and the token ids of prompts, gives texts. Where an answer is one of a fixed set, only those may be
written. Knows nothing of templates and tasks.
"""

from collections.abc import Callable, Sequence
from typing import Any

from lifeloop.training.language.likelihood import asking

BATCH = 16


def write(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    choices: Sequence[Sequence[int]] = (),
    batch: int = BATCH,
) -> list[str]:
    """Return the likeliest text after each prompt, token by token, up to the end of the turn or `max_tokens`.

    `choices` are the token ids of the only texts allowed, each with the token that ends its turn; empty for any text.
    """
    texts = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        written = _greedy(model, tokenizer, [prompts[place] for place in places], max_tokens, choices)
        for place, ids in zip(places, written, strict=True):
            texts[place] = tokenizer.decode(ids, skip_special_tokens=True).strip()
    return texts


def _greedy(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], max_tokens: int, choices: Sequence[Sequence[int]]
) -> list[list[int]]:
    import torch
    from transformers import GenerationConfig

    device = next(model.parameters()).device
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    end = tokenizer.eos_token_id
    longest = max(map(len, choices)) if choices else max_tokens
    config = GenerationConfig(
        do_sample=False, max_new_tokens=longest, eos_token_id=end, pad_token_id=end if end is not None else 0
    )
    allowed = _only(choices, width, end) if choices else None
    with asking(model):
        whole = model.generate(
            input_ids=ids, attention_mask=mask, generation_config=config, prefix_allowed_tokens_fn=allowed
        )
    return [row[width:].tolist() for row in whole]


def _only(choices: Sequence[Sequence[int]], width: int, end: int) -> Callable[[int, Any], list[int]]:
    """Return which tokens may follow what was written after `width` tokens of prompt."""
    follow: dict[tuple[int, ...], set[int]] = {}
    for choice in choices:
        for place, token in enumerate(choice):
            follow.setdefault(tuple(choice[:place]), set()).add(token)
    return lambda _, ids: sorted(follow.get(tuple(ids[width:].tolist()), {end}))
