"""In which order a language model sees its examples: by chance, with rows of like length in one step.

The order follows from the seed and the pass alone, so a resumed training goes on in it; and short rows are not padded
to the length of long ones.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

WINDOW = 50
"""Rows are sorted by length within so many steps: enough to save the padding, few enough to leave much to chance."""


class ByLength(Sampler[int]):
    """Places of examples, for one pass after the other."""

    def __init__(self, lengths: Sequence[int], step: int, seed: int, epoch: Callable[[], float]) -> None:
        """`step` counts the examples of one step over all devices; `epoch` says how many passes are done."""
        self._lengths = lengths
        self._step = step
        self._seed = seed
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        chance = np.random.default_rng((self._seed, int(self._epoch() + 1e-6)))
        order = chance.permutation(len(self._lengths)).tolist()
        whole = []
        for start in range(0, len(order), self._step * WINDOW):
            window = sorted(order[start : start + self._step * WINDOW], key=self._lengths.__getitem__, reverse=True)
            whole += [window[begin : begin + self._step] for begin in range(0, len(window), self._step)]
        # Only the last step of all may be short: a short one in between would move those after it across steps.
        full = [step for step in whole if len(step) == self._step]
        rest = [step for step in whole if len(step) < self._step]
        for place in chance.permutation(len(full)):
            yield from full[place]
        for step in rest:
            yield from step
