"""The abstention curve: how right the answers would be if the less sure ones were withheld.

Takes answers with their confidence, gives coverage and accuracy over thresholds. Knows nothing of who answered, and
sets no threshold: that is training's, on validation.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lifeloop.core.evidence import Spot
from lifeloop.tasks.task import Floats, Scored

SPOTS = 20


class Withholding:
    """The confidence of every answer, and whether it was right: nine bytes an answer."""

    def __init__(self) -> None:
        self._n = 0
        self._confidences: list[Floats] = []
        self._right: list[NDArray[np.bool_]] = []

    def add(self, scored: Sequence[Scored]) -> None:
        """Add answers; those without a usable output or a confidence are requests that are never answered."""
        self._n += len(scored)
        sure = [item for item in scored if item.prediction is not None and item.answer.confidence is not None]
        self._confidences.append(np.array([item.answer.confidence for item in sure], dtype=float))
        self._right.append(np.array([item.prediction == item.reference for item in sure], dtype=bool))

    def curve(self) -> tuple[Spot, ...]:
        """Return at most 20 spots, by rising threshold; nothing where no answer has a confidence.

        Thresholds lie where equal shares of the answers fall below them, so that a candidate that is nearly always sure
        gets as telling a curve as one that never is.
        """
        confidences = np.concatenate([np.zeros(0), *self._confidences])
        if not len(confidences):
            return ()
        order = np.argsort(confidences)
        ordered = confidences[order]
        right_above = np.cumsum(np.concatenate([np.zeros(0, bool), *self._right])[order][::-1])[::-1]
        starts = (np.arange(1, SPOTS) * len(ordered)) // SPOTS
        thresholds = np.unique(np.concatenate([[0.0], ordered[starts]]))
        firsts = np.searchsorted(ordered, thresholds)
        return tuple(
            Spot(
                threshold=float(threshold),
                coverage=(len(ordered) - int(first)) / self._n,
                accuracy=float(right_above[first]) / (len(ordered) - int(first)),
            )
            for threshold, first in zip(thresholds, firsts, strict=True)
        )
