"""Scores a fixed set of labels with a language model, token by token, instead of letting it write.

One look at the next token decides where labels part at once ("sport", "tech"); where several begin alike, the likelier
branch is followed (a best-first walk of the labels' prefix tree). Knows token ids and a function that gives
probabilities; knows nothing of the engine behind it.
"""

import math
from collections.abc import Callable, Generator, Sequence

NextToken = Callable[[tuple[int, ...], tuple[int, ...]], dict[int, float]]
"""(tokens so far, allowed next tokens) to the probability of each, summing to 1."""


Look = tuple[tuple[int, ...], tuple[int, ...]]
"""Tokens so far, and the next tokens whose probabilities are wanted."""


def label_probabilities(sequences: Sequence[tuple[int, ...]], next_token: NextToken) -> list[float]:
    """Return the probability of each label's token sequence, summing to 1.

    No sequence may be the beginning of another (end each with the end-of-turn token). The walk stops when no branch
    that is still open can hold a likelier label; labels in such a branch share its probability evenly.
    """
    return label_probabilities_of(sequences, 1, lambda looks: [next_token(*look) for _, look in looks])[0]


def label_probabilities_of(
    sequences: Sequence[tuple[int, ...]],
    n: int,
    next_tokens: Callable[[list[tuple[int, Look]]], list[dict[int, float]]],
) -> list[list[float]]:
    """Return the same for `n` inputs whose walks go side by side: each asks for at most one look a round.

    `next_tokens` answers a round's looks, each with the place of its input.
    """
    found: dict[int, list[float]] = {}
    walks = [_walk(sequences) for _ in range(n)]
    answers: list[tuple[int, dict[int, float] | None]] = [(place, None) for place in range(n)]
    while answers:
        looks: list[tuple[int, Look]] = []
        for place, chances in answers:
            try:
                looks.append((place, next(walks[place]) if chances is None else walks[place].send(chances)))
            except StopIteration as done:
                found[place] = done.value
        chances_of = next_tokens(looks) if looks else []
        answers = [(place, chances) for (place, _), chances in zip(looks, chances_of, strict=True)]
    return [found[place] for place in range(n)]


def _walk(sequences: Sequence[tuple[int, ...]]) -> Generator[Look, dict[int, float], list[float]]:
    """Yield looks at the next token, take its probabilities, and return those of the labels."""
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
        chances = yield prefix, tuple(parts)
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
