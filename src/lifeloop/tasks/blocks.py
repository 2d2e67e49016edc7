"""Blocks: what a bootstrap resamples. Sums of a metric's columns over groups of related examples, chunk by chunk.

Takes groups and columns as they come and keeps a bounded number of sums, whatever the number of examples. Knows nothing
of metrics but their columns, and nothing of answers.
"""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Union

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.data import Example
from lifeloop.tasks.task import Floats

if TYPE_CHECKING:
    import polars as pl

LIMIT = 5000
"""Blocks at most: means of so many are as normal as they will be, and 450 columns of them take 18 MB."""


class Blocks(Struct, frozen=True):
    """How the examples of a trial or a comparison belong together."""

    n_groups: int
    alone: bool
    """Whether every group is one example, so that exact methods for independent ones apply."""
    limit: int = LIMIT


def blocks_for(groups: Union[Sequence[str], "pl.Series"], limit: int = LIMIT) -> Blocks:
    """Return how examples belong together, given the group of each ("" for one that stands alone)."""
    import polars as pl

    column = pl.Series(values=groups, dtype=pl.String)
    grouped = column.filter(column != "")
    n_groups = grouped.n_unique() + len(column) - len(grouped)
    return Blocks(n_groups=n_groups, alone=n_groups == len(column), limit=limit)


def group_of(example: Example) -> str:
    """Return what an example is resampled with; itself where it has no group."""
    return example.group or f"\0{example.id}"


class Placing:
    """Which block each group is in: one of its own while there are fewer than `limit`, then one drawn by its hash."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._known: dict[str, int] = {}

    def of(self, groups: Sequence[str]) -> NDArray[np.intp]:
        """Return the block (n,) of each group: the same group is in the same block in every chunk."""
        return np.fromiter((self._place(group) for group in groups), dtype=np.intp, count=len(groups))

    def _place(self, group: str) -> int:
        place = self._known.get(group)
        if place is not None:
            return place
        if len(self._known) < self.limit:
            return self._known.setdefault(group, len(self._known))
        return zlib.crc32(group.encode("utf-8", "surrogatepass")) % self.limit


class BlockSums:
    """Sums of a metric's columns over every block, and what exact methods need to know of the values."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self.sums: Floats = np.zeros((0, 0))
        self.counts: Floats = np.zeros(0)
        self.binary = True
        """Whether every value of column 0 was 0 or 1."""
        self.least, self.most = float("inf"), float("-inf")
        """Of column 0."""

    @property
    def n(self) -> int:
        """Number of examples."""
        return int(self.counts.sum())

    @property
    def means(self) -> Floats:
        """Means (n_columns,) over all examples. Only where there is one."""
        means: Floats = self.sums.sum(axis=0) / self.counts.sum()
        return means

    def add(self, places: NDArray[np.intp], columns: Floats) -> None:
        """Add rows (n, n_columns) to the blocks (n,) that they are in."""
        if not len(places):
            return
        self._make_room(int(places.max()) + 1, columns.shape[1])
        np.add.at(self.sums, places, columns)
        np.add.at(self.counts, places, 1.0)
        first = columns[:, 0]
        self.binary = self.binary and bool(((first == 0.0) | (first == 1.0)).all())
        self.least, self.most = min(self.least, float(first.min())), max(self.most, float(first.max()))

    def _make_room(self, n_blocks: int, n_columns: int) -> None:
        """Grow by doubling, up to the limit: most slices need few blocks."""
        if not len(self.counts):
            self.sums = np.zeros((0, n_columns))
        if n_columns != self.sums.shape[1]:
            raise ValueError(f"{n_columns} columns after {self.sums.shape[1]}: columns may not depend on the chunk")
        if n_blocks > len(self.counts):
            more = max(n_blocks, min(2 * len(self.counts), self._limit)) - len(self.counts)
            self.sums = np.concatenate([self.sums, np.zeros((more, n_columns))])
            self.counts = np.concatenate([self.counts, np.zeros(more)])
