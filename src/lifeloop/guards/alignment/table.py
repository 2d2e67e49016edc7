"""Preferences as columns, for guards that count: who said what of which two answers, and when.

Takes preferences in any order, gives arrays in the order of their ids. Knows nothing of what is suspicious.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.preferences import Preference

Places = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Table(Struct, frozen=True):
    """Preferences and what guards ask of them, (n,) each."""

    preferences: tuple[Preference, ...]
    """By id."""
    raters: tuple[str, ...]
    """Names, sorted."""
    rater: Places
    """The place of each one's rater, -1 where nobody knows who it was."""
    is_pair: Flags
    item: Places
    """Equal for equal inputs with the same two answers, whichever was chosen, and for equal answers alone."""
    vote: Flags
    """Whether the chosen answer is the first of an item's two by spelling; of one answer alone, whether it was
    liked."""
    input: Places
    """Equal for equal inputs."""
    at: Floats
    """Seconds since the epoch, 0 where nobody knows."""
    by_people: Flags
    """Whether it was not a model that preferred."""

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.preferences)


def tabled(preferences: Sequence[Preference]) -> Table:
    """Return preferences as a table, by id."""
    ordered = sorted(preferences, key=lambda each: each.id)
    raters = tuple(sorted({each.rater for each in ordered} - {""}))
    place = {name: n for n, name in enumerate(raters)} | {"": -1}
    items: dict[tuple[str, str, str], int] = {}
    inputs: dict[str, int] = {}
    item, asked, vote = [], [], []
    for each in ordered:
        first = each.chosen >= each.rejected  # an answer that is missing comes last
        answers = (each.chosen, each.rejected) if first else (each.rejected, each.chosen)
        item.append(items.setdefault((each.input, *answers), len(items)))
        asked.append(inputs.setdefault(each.input, len(inputs)))
        vote.append(first)
    return Table(
        preferences=tuple(ordered),
        raters=raters,
        rater=np.array([place[each.rater] for each in ordered], dtype=np.int64),
        is_pair=np.array([each.is_pair for each in ordered], dtype=np.bool_),
        item=np.array(item, dtype=np.int64),
        vote=np.array(vote, dtype=np.bool_),
        input=np.array(asked, dtype=np.int64),
        at=np.array([each.at for each in ordered], dtype=np.float64),
        by_people=np.array([not each.origin.startswith("ai:") for each in ordered], dtype=np.bool_),
    )
