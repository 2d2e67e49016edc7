"""One pass over two trials: what every test of their difference on a metric rests on.

Takes a pairing and a metric; gives sums over blocks of related examples, and the difference of each example. Tests
nothing.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.comparison.pairing import Pairing
from lifeloop.core.content import fraction
from lifeloop.core.data import Example
from lifeloop.stats import jackknife
from lifeloop.tasks.blocks import LIMIT, Blocks, BlockSums, Placing, blocks_for, group_of
from lifeloop.tasks.repeats import over_repeats
from lifeloop.tasks.task import Floats, Metric, is_average


class Differences(Struct, frozen=True):
    """Two trials on one metric, on the examples where it applies to both."""

    metric: Metric
    ours: BlockSums
    theirs: BlockSums
    by_example: Floats
    """Of column 0 (n,), in the fixed random order of the examples."""
    blocks: Blocks
    asked_once: bool
    """Whether neither side was asked an example more than once."""

    @property
    def average(self) -> bool:
        """Whether the metric is the mean of column 0, so that `by_example` says it all."""
        return is_average(self.metric, self.ours.sums.shape[1])

    @property
    def binary(self) -> bool:
        """Whether each example is right or wrong, stands alone and was asked once, so that exact methods apply."""
        # Of a cost of up to 12, zeros alone are no shares: the next value could be 12.
        values = self.ours.binary and self.theirs.binary and self.metric.bounds in (None, (0.0, 1.0))
        return values and self.average and self.blocks.alone and self.asked_once

    @property
    def reach(self) -> float:
        """The most by which an example can differ; inf where nothing bounds it, or a value broke its bounds."""
        if self.metric.bounds is None:
            return float("inf")
        low, high = self.metric.bounds
        kept = min(self.ours.least, self.theirs.least) >= low and max(self.ours.most, self.theirs.most) <= high
        return high - low if kept or not self.average else float("inf")


def differences(pairing: Pairing, metric: Metric, seed: int) -> Differences | None:
    """Return what one pass over both trials finds, or None where the metric applies to no example of both."""
    ours, theirs, placing = BlockSums(), BlockSums(), Placing(LIMIT)
    found: list[Floats] = []
    turns: list[Floats] = []
    applies: list[NDArray[np.bool_]] = []
    for one, other, examples in _columns(pairing, metric):
        both = ~(np.isnan(one).any(axis=1) | np.isnan(other).any(axis=1))
        kept = [example for example, wanted in zip(examples, both, strict=True) if wanted]
        places = placing.of([group_of(example) for example in kept])
        ours.add(places, one[both])
        theirs.add(places, other[both])
        found.append(one[both, 0] - other[both, 0])
        turns.append(_turns(kept, seed))
        applies.append(both)
    if not ours.n:
        return None
    return Differences(
        metric=metric,
        ours=ours,
        theirs=theirs,
        by_example=np.concatenate(found)[np.argsort(np.concatenate(turns))],
        blocks=blocks_for(pairing.groups.filter(np.concatenate(applies))),
        asked_once=all(side.repeats == 1 for side in pairing.sides),
    )


def pseudo_values(pairing: Pairing, summed: Differences, seed: int) -> Floats:
    """Return one number an example (n,), in the fixed random order, whose mean is the difference of the two values.

    A second pass, for metrics that are no average: how the difference would change without each example.
    """
    combine = summed.metric.combine
    sides = (summed.ours, summed.theirs)
    totals = [side.sums.sum(axis=0) for side in sides]
    left: list[Floats] = []
    turns: list[Floats] = []
    for one, other, examples in _columns(pairing, summed.metric):
        both = ~(np.isnan(one).any(axis=1) | np.isnan(other).any(axis=1))
        ours, theirs = (
            jackknife.left_out(columns[both], np.ones(both.sum()), total, summed.ours.n, combine)
            for columns, total in zip((one, other), totals, strict=True)
        )
        left.append(ours - theirs)
        turns.append(_turns([example for example, wanted in zip(examples, both, strict=True) if wanted], seed))
    difference = float(combine(summed.ours.means) - combine(summed.theirs.means))
    without = np.nan_to_num(np.concatenate(left), nan=difference)  # of a single example, nothing is left
    return jackknife.pseudo_values(without, difference)[np.argsort(np.concatenate(turns))]


def _columns(pairing: Pairing, metric: Metric) -> Iterator[tuple[Floats, Floats, list[Example]]]:
    """Yield a metric's columns on both sides, repeats averaged, NaN where it does not apply; and the examples."""
    for chunk in pairing.chunks():
        tables = []
        for scored, side in zip(chunk, pairing.sides, strict=True):
            columns, applies = over_repeats(metric.columns(scored, pairing.scope), side.repeats)
            tables.append(np.where(applies[:, None], columns, np.nan))
        yield tables[0], tables[1], [item.example for item in chunk[0][:: pairing.sides[0].repeats]]


def _turns(examples: Sequence[Example], seed: int) -> Floats:
    """Return when each example is taken to have come: a hash of its id, by which samples are drawn too."""
    return np.fromiter((fraction(example.id, seed) for example in examples), dtype=float, count=len(examples))
