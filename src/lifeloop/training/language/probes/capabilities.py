"""The probe of capabilities outside the task: does the child still know what its parent knew?

Takes both models and their tokenizer, gives one Check. Costs sixty short texts a model.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifeloop.core.training_record import Check
from lifeloop.training.language.likelihood import Row, log_probabilities
from lifeloop.training.language.probes.minimal_pairs import PAIRS

NAME = "capabilities outside the task"
LIMIT = 0.08
"""Five of sixty: what a model may lose before it is more than pairs on the edge that turn over."""


def capabilities(parent: Any, child: Any, tokenizer: Any) -> Check:
    """Return the share of minimal pairs whose right end is the likelier one, for parent and child.

    The method of BLiMP (Warstadt et al., 2020): whole ends are compared by their log-probability.
    """
    before, after = _right(parent, tokenizer), _right(child, tokenizer)
    old, new = float(before.mean()), float(after.mean())
    lost, gained = int((before & ~after).sum()), int((after & ~before).sum())
    return Check(NAME, old, new, LIMIT, old - new > LIMIT, len(PAIRS), f"{lost} lost, {gained} gained")


def _right(model: Any, tokenizer: Any) -> NDArray[np.bool_]:
    rows = [_row(tokenizer, pair.stem, end) for pair in PAIRS for end in (pair.right, pair.wrong)]
    sums = [float(each.sum()) for each in log_probabilities(model, rows)]
    return np.array(sums[0::2]) > np.array(sums[1::2])


def _row(tokenizer: Any, stem: str, end: str) -> Row:
    """Return the tokens of a beginning and its end, each on its own, so that both ends follow the same beginning."""
    return tuple(tokenizer(stem, add_special_tokens=False)["input_ids"]), tuple(
        tokenizer(end, add_special_tokens=False)["input_ids"]
    )
