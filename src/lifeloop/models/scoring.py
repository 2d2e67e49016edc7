"""Scores a fixed set of labels with a language model, token by token, instead of letting it write.

One look at the next token decides where labels part at once ("sport", "tech"); where several begin alike, the likelier
branch is followed (a best-first walk of the labels' prefix tree). Knows token ids and a function that gives
probabilities; knows nothing of the engine behind it.
"""

import math
from collections.abc import Callable, Sequence

NextToken = Callable[[tuple[int, ...], tuple[int, ...]], dict[int, float]]
"""(tokens so far, allowed next tokens) to the probability of each, summing to 1."""


def label_probabilities(sequences: Sequence[tuple[int, ...]], next_token: NextToken) -> list[float]:
    """Return the probability of each label's token sequence, summing to 1.

    No sequence may be the beginning of another (end each with the end-of-turn token). The walk stops when no branch
    that is still open can hold a likelier label; labels in such a branch share its probability evenly.
    """
    branches: list[tuple[float, tuple[int, ...], list[int]]] = [(1.0, (), list(range(len(sequences))))]
    while True:
        best = max(branches, key=lambda branch: branch[0])
        if len(best[2]) == 1:
            break
        branches.remove(best)
        mass, prefix, members = best
        while len({sequences[index][len(prefix)] for index in members}) == 1:  # a forced token needs no look
            prefix += (sequences[members[0]][len(prefix)],)
        parts: dict[int, list[int]] = {}
        for index in members:
            parts.setdefault(sequences[index][len(prefix)], []).append(index)
        chances = next_token(prefix, tuple(parts))
        branches += [(mass * chances[token], (*prefix, token), group) for token, group in parts.items()]
    result = [0.0] * len(sequences)
    for mass, _, members in branches:
        for index in members:
            result[index] = mass / len(members)
    return result


def calibrated(probabilities: Sequence[float], prior: Sequence[float]) -> list[float]:
    """Return probabilities with a model's liking for some labels taken out (batch calibration, Zhou et al., 2024).

    `prior` is the geometric mean of the probabilities over unlabelled inputs.
    """
    raised = [p / max(q, 1e-9) for p, q in zip(probabilities, prior, strict=True)]
    total = sum(raised)
    return [value / total for value in raised] if total > 0 else list(probabilities)


def geometric_mean(rows: Sequence[Sequence[float]]) -> list[float]:
    """Return the geometric mean of each column."""
    return [
        math.exp(sum(math.log(max(value, 1e-9)) for value in column) / len(rows)) for column in zip(*rows, strict=True)
    ]
