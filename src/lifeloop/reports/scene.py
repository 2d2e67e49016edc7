"""What a figure shows: candidates with their quality and their cost, and which of them are best for their cost.

Takes and gives plain numbers. Knows nothing of records, and nothing of SVG.
"""

import math
from collections.abc import Callable, Sequence

from msgspec import Struct

from lifeloop.core.evidence import Direction
from lifeloop.reports.axes import Axis, linear, share_tick

_ZOOM = 0.5
"""An axis leaves out the worst where the rest takes less than this part of it."""


class Mark(Struct, frozen=True):
    """One candidate in a figure."""

    name: str
    cost: float
    """USD for 1,000 requests; what is not finite is not drawn against cost."""
    value: float
    low: float
    high: float
    parts: tuple[str, ...] = ()
    """challenger, champion, baseline."""

    @property
    def has_interval(self) -> bool:
        """Whether its interval is known."""
        return math.isfinite(self.low) and math.isfinite(self.high)


class Scene(Struct, frozen=True):
    """What both figures show."""

    label: str
    """What the quality is called."""
    marks: tuple[Mark, ...]
    """Best first; values are finite."""
    direction: Direction
    target: float | None
    written: Callable[[float], str]
    """How a quality is written."""
    share: bool
    """Whether the quality is a share."""

    @property
    def goal(self) -> str:
        """The target in words, or "" where there is none."""
        return f"target {self.written(self.target)}" if self.target is not None and math.isfinite(self.target) else ""


def front(marks: Sequence[Mark], direction: Direction) -> tuple[Mark, ...]:
    """Return those that nobody beats for the same money or less, the cheapest first (the Pareto front)."""
    sign = 1 if direction == "max" else -1
    kept: list[Mark] = []
    for mark in sorted((m for m in marks if math.isfinite(m.cost)), key=lambda m: (max(m.cost, 0.0), -sign * m.value)):
        if not kept or sign * mark.value > sign * kept[-1].value:
            kept.append(mark)
    return tuple(kept)


def quality_axis(scene: Scene, marks: Sequence[Mark], start: float, end: float) -> Axis:
    """Return the axis that holds the values and intervals of these marks, and the target."""
    values = [number for mark in marks for number in (mark.value, mark.low, mark.high)]
    return linear([*values, math.nan if scene.target is None else scene.target], start, end, scene.share)


def near_marks(scene: Scene, marks: Sequence[Mark]) -> list[Mark]:
    """Return the marks that an axis should hold: all, or without the worst where they would press the rest together.

    At least half stay, and at least two. Only where more is better: there the rest has a place below.
    """
    ranked = sorted(marks, key=lambda mark: -mark.value)
    if scene.direction == "min":
        return ranked
    whole = _extent(scene, ranked)
    for n in range(len(ranked) - 1, max(1, len(ranked) // 2) - 1, -1):
        if n >= 2 and _extent(scene, ranked[:n]) < _ZOOM * whole:
            return ranked[:n]
    return ranked


def _extent(scene: Scene, marks: Sequence[Mark]) -> float:
    axis = quality_axis(scene, marks, 0, 1)
    return axis.high - axis.low


def quality_steps(scene: Scene, axis: Axis, wanted: int) -> list[tuple[float, str]]:
    """Return (pixel, text) of about so many ticks of the quality."""
    ticks = axis.ticks(wanted)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 0.1
    inside = [tick for tick in ticks if not scene.share or -1e-9 <= tick <= 1 + 1e-9]
    texts = [share_tick(abs(tick), step) if scene.share else scene.written(tick) for tick in inside]
    return [(axis.at(tick), text) for tick, text in zip(inside, texts, strict=True)]
