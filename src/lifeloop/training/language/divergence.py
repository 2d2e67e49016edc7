"""How far training moved a language model from its parent, in nats a token.

Takes both models and rows of token ids, gives one number. Says nothing of whether the way was a good one.
"""

from collections.abc import Sequence
from typing import Any

from lifeloop.training.language.likelihood import BATCH, Row, divergences


def kl_to_parent(parent: Any, child: Any, rows: Sequence[Row], batch: int = BATCH) -> float:
    """Return the mean KL divergence KL(child || parent) a token of the rows' answers, in nats.

    0 for a model and itself; never less. Exact at each token, over the whole vocabulary; the tokens are those of the
    rows, not drawn from the child. NaN without rows.
    """
    totals, tokens = divergences(parent, child, rows, batch)
    return float(totals.sum() / tokens.sum()) if len(rows) else float("nan")
