"""Crowds: near-identical rows of one label, far more of them than of any other kind in the data.

Takes the sketches of training rows, gives the rows of each crowd. Templates are natural where there are many of them,
or where they are most of what a label has; a crowd has no equal. Needs no text.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lifeloop.guards.near.sketch import SLOTS

BAND = 4
"""So many of a sketch's values: rows that have nine tenths in common agree in one band two times out of three."""
N_BANDS = 6
LEAST = 25
"""Fewer rows are no crowd."""
SIMILAR = 0.7
"""The share of a sketch's values that near-identical rows have in common."""
TIMES_LARGER = 8.0
"""How many times larger a crowd is than the largest group of near-identical rows that is none."""
USUAL = 5
"""What that group is taken to have at the least."""
MOST_CROWDS = 5
"""Where more than this stand out, the data is made like this."""
MOST_OF_LABEL = 0.8
"""A label of which so much is one template is like this by nature."""
MOST_GROUPS = 50
SAMPLE = 200

Values = NDArray[np.uint8]


def crowds(train: pl.DataFrame) -> list[pl.DataFrame]:
    """Return the rows (`row`, `reference`, `source`) of each crowd, the largest first.

    `train` has `row`, `reference`, `source`, `key` and `sketch` (see near/sketch.py), of which the last values are
    those of a long text's words, or of a short one's characters.
    """
    near = _frequent(train)
    if not near.height:
        return []
    values = np.stack([np.frombuffer(sketch, dtype=np.uint8) for sketch in near["values"]])
    labels = near["reference"].to_numpy()
    groups = _groups(values)
    crowded = [group for group in groups[: _standing_out([len(group) for group in groups])] if len(group) >= LEAST]
    sizes = dict(train["reference"].value_counts().iter_rows())
    found = []
    for group in crowded:
        names, counts = np.unique(labels[group], return_counts=True)
        label = str(names[counts.argmax()])
        of_one_label = counts.max() >= 0.95 * len(group)
        if of_one_label and counts.max() <= MOST_OF_LABEL * sizes[label]:
            found.append(near[group].filter(pl.col("reference") == label).select("row", "reference", "source"))
    return found


def _frequent(train: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of which some band is shared by many: all that can be in a large group, seldom others."""
    values = pl.col("sketch").bin.tail(SLOTS)
    bands = train.select(
        values.bin.slice(band * BAND, BAND).bin.reinterpret(dtype=pl.UInt32).alias(str(band)) for band in range(N_BANDS)
    )
    least = max(USUAL, LEAST // 4)
    shared = bands.select(pl.any_horizontal(pl.len().over(name) >= least for name in bands.columns).alias("shared"))
    near = train.filter(shared["shared"]).select("row", "reference", "source", "key", values.alias("values"))
    return near.sort("key", "reference", "row")  # whatever order the rows came in


def _groups(values: Values) -> list[NDArray[np.intp]]:
    """Return groups of rows like one of their midst, by places, the largest first."""
    left = np.arange(len(values))
    groups: list[NDArray[np.intp]] = []
    while len(left) >= USUAL and len(groups) < MOST_GROUPS:
        _, band, counts = np.unique(_band(values[left], len(groups) % N_BANDS), return_inverse=True, return_counts=True)
        bucket = left[band == counts.argmax()]
        some = values[bucket[:SAMPLE]]
        alike = (some[:, None, :] == some[None, :, :]).mean(axis=2)
        middle = some[alike.sum(axis=1).argmax()]
        near = (values[left] == middle).mean(axis=1) >= SIMILAR
        near |= left == bucket[alike.sum(axis=1).argmax()]  # at least itself: the loop must end
        groups.append(left[near])
        left = left[~near]
    return sorted(groups, key=len, reverse=True)


def _band(values: Values, band: int) -> NDArray[np.uint32]:
    return np.ascontiguousarray(values[:, band * BAND : (band + 1) * BAND]).view(np.uint32).ravel()


def _standing_out(sizes: list[int]) -> int:
    """Return how many of the sizes, which descend, are far larger than those after them."""
    after = [*sizes[1:], 0]
    for n in range(min(MOST_CROWDS, len(sizes)), 0, -1):
        if sizes[n - 1] >= TIMES_LARGER * max(after[n - 1], USUAL):
            return n
    return 0
