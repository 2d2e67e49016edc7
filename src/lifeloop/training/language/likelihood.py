"""How likely a language model holds answers to be, token by token.

Takes a loaded model and rows of token ids, gives log-probabilities. Knows nothing of templates, tasks or training.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lifeloop.models.devices import dtype_named

if TYPE_CHECKING:
    import torch

Row = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids of what comes first, and of the answer whose probability is asked for. Neither is empty."""
BATCH = 8


@contextmanager
def asking(model: Any) -> Iterator[None]:
    """Hold a model as it is when it answers: no gradients, no dropout; afterwards it goes on as before."""
    import torch

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def log_probabilities(model: Any, rows: Sequence[Row], batch: int = BATCH) -> list[NDArray[np.float64]]:
    """Return of each row the natural log-probability of every token of its answer, in the order of the rows."""
    found: list[NDArray[np.float64]] = [np.zeros(0)] * len(rows)
    with asking(model):
        for places, tables in _tables(model, rows, batch):
            for place, table in zip(places, tables, strict=True):
                targets = table.new_tensor(rows[place][1]).long()
                found[place] = table.gather(1, targets[:, None])[:, 0].double().cpu().numpy()
    return found


def divergences(
    parent: Any, child: Any, rows: Sequence[Row], batch: int = BATCH
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return of each row the KL divergence of the child from the parent, summed over its answer, and the tokens there.

    In nats; at every token the whole vocabulary counts. Both (n_rows,).
    """
    totals = np.zeros(len(rows))
    with asking(parent), asking(child):
        both = zip(_tables(parent, rows, batch), _tables(child, rows, batch), strict=True)
        for (places, before), (_, after) in both:
            for place, old, new in zip(places, before, after, strict=True):
                totals[place] = float((new.exp() * (new - old)).sum().clamp(min=0.0))
    return totals, np.array([len(answer) for _, answer in rows], dtype=np.int64)


def _tables(model: Any, rows: Sequence[Row], batch: int) -> Iterator[tuple[list[int], list["torch.Tensor"]]]:
    """Yield places of rows with the log-probabilities (n_answer_tokens, n_vocabulary) at each; rows alike in length."""
    import torch

    device = next(model.parameters()).device
    native = dtype_named("auto", device, "") == torch.bfloat16  # as in training, and three times as fast
    order = sorted(range(len(rows)), key=lambda place: len(rows[place][0]) + len(rows[place][1]))
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        whole = [[*rows[place][0], *rows[place][1]] for place in places]
        length = max(map(len, whole))
        ids = torch.tensor([row + [0] * (length - len(row)) for row in whole], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in whole], device=device)
        first = min(len(rows[place][0]) for place in places) - 1  # the first token that says what an answer begins with
        kept = torch.arange(first, length, device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=native):
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept).logits
        tables = []
        for row, place in enumerate(places):
            begin = len(rows[place][0]) - 1 - first
            table = logits[row, begin : begin + len(rows[place][1])]
            tables.append(table.float().log_softmax(dim=-1))
        yield places, tables
