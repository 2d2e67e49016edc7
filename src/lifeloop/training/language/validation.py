"""What validation says of a language model: the loss on the answers and, where answers are labels, how many are right.

A label is right where each of its tokens is likelier than any other that a label could go on with: the tokens that
serving chooses between, seen in one pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lifeloop.training.language.turns import Turn

if TYPE_CHECKING:
    import torch

Branches = Mapping[tuple[int, ...], Sequence[int]]
"""Beginning of a label to the tokens that labels go on with."""
ACCURACY = "eval_label_accuracy"


def branches(sequences: Sequence[Sequence[int]]) -> Branches:
    """Return the prefix tree of the labels' tokens."""
    found: dict[tuple[int, ...], list[int]] = {}
    for sequence in sequences:
        for place, token in enumerate(sequence):
            after = found.setdefault(tuple(sequence[:place]), [])
            if token not in after:
                after.append(token)
    return found


def measured(model: Any, turns: Sequence[Turn], labels: Branches, batch: int) -> dict[str, float]:
    """Return `eval_loss`, the mean over the answers' tokens, and with labels their accuracy."""
    loss, n_tokens, right = 0.0, 0, 0
    for turn, table in _answer_logits(model, turns, batch):
        targets = table.new_tensor(turn.completion).long()
        loss -= float(table.log_softmax(dim=-1).gather(1, targets[:, None]).sum())
        n_tokens += len(turn.completion)
        right += bool(labels) and _chosen(table, turn.completion, labels)
    found = {"eval_loss": loss / max(1, n_tokens)}
    return found | {ACCURACY: right / len(turns)} if labels else found


def _chosen(table: "torch.Tensor", answer: Sequence[int], labels: Branches) -> bool:
    for place, token in enumerate(answer):
        others = list(labels.get(tuple(answer[:place]), ()))
        if others and others[int(table[place, others].argmax())] != token:
            return False
    return True


def _answer_logits(model: Any, turns: Sequence[Turn], batch: int) -> "Iterator[tuple[Turn, torch.Tensor]]":
    """Yield each turn with the logits (n_answer_tokens, n_vocabulary) at its answer, those of like length together."""
    import torch

    device = next(model.parameters()).device
    soft = n_soft_tokens(model)
    order = sorted(turns, key=lambda turn: len(turn.prompt) + len(turn.completion))
    with torch.no_grad():
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            whole = [(*turn.prompt, *turn.completion) for turn in some]
            width = max(map(len, whole))
            ids = torch.tensor([(*row, *[0] * (width - len(row))) for row in whole], device=device)
            mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in whole], device=device)
            first = min(len(turn.prompt) for turn in some) - 1
            kept = torch.arange(first + soft, width + soft, device=device)
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept).logits
            for turn, table in zip(some, logits, strict=True):
                begin = len(turn.prompt) - 1 - first
                yield turn, table[begin : begin + len(turn.completion)].float()


def n_soft_tokens(model: Any) -> int:
    """Return how many vectors a soft prompt puts before every row."""
    configs = getattr(model, "peft_config", {}).values()
    return sum(config.num_virtual_tokens for config in configs if config.is_prompt_learning)
