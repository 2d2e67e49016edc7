"""The curve of a training as a figure: losses above, and below them what is watched while it runs.

Takes a training record, gives one self-contained `<svg>`, or lines of equal-width text for terminals. Knows nothing of
candidates.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from lifeloop.core.training_record import Point, TrainingRecord
from lifeloop.reports.axes import Axis, linear
from lifeloop.reports.drawing import letters, line, picture
from lifeloop.reports.letters import padded, pixels
from lifeloop.reports.numbers import plain

_PANEL = 120.0
"""Height of a panel in pixels."""
_ROWS, _COLUMNS = 9, 60
"""Size of a panel in letters."""
_MOST = 400
"""Points that a line is drawn through at most."""


class Series(Struct, frozen=True):
    """One quantity along the steps."""

    name: str
    kind: str
    """The colour of its line (see `drawing`)."""
    sign: str
    """The letter it is drawn with."""
    points: tuple[tuple[int, float], ...]
    """Step and value."""


def panels(record: TrainingRecord) -> list[list[Series]]:
    """Return what is drawn together: the two losses, then the score and the reward each on a scale of its own."""
    losses = [
        _series(record.curve, "loss", "loss", "rest", "·"),
        _series(record.curve, "validation_loss", "validation loss", "ours", "o"),
    ]
    watched = [
        [_series(record.curve, "score", "score on validation", "front", "*")],
        [_series(record.curve, "reward", "reward", "theirs", "+")],
    ]
    found = [[series for series in panel if len(series.points) > 1] for panel in (losses, *watched)]
    return [panel for panel in found if panel]


def _series(curve: Sequence[Point], field: str, name: str, kind: str, sign: str) -> Series:
    found = [(point.step, float(getattr(point, field))) for point in curve if getattr(point, field) is not None]
    found = [(step, value) for step, value in found if math.isfinite(value)]
    apart = max(1, math.ceil(len(found) / _MOST))
    kept = found[::apart] if not found or found[::apart][-1] == found[-1] else [*found[::apart], found[-1]]
    return Series(name, kind, sign, tuple(kept))


def curve(record: TrainingRecord, name: str, width: int) -> str:
    """Return the SVG of a training's curve, or "" where too little was measured to draw a line."""
    drawn = panels(record)
    if not drawn:
        return ""
    steps = [step for panel in drawn for series in panel for step, _ in series.points]
    parts: list[str] = []
    top = 8.0
    for panel in drawn:
        values = [value for series in panel for _, value in series.points]
        ys = linear(values, top + 18 + _PANEL, top + 18, share=False)
        ticks = [(ys.at(tick), plain(tick)) for tick in ys.ticks(4)]
        left = 12 + max(pixels(text) for _, text in ticks)
        xs = _steps(steps, left, width - 10.0)
        parts += _legend(panel, left, top)
        for y, text in ticks:
            parts += [line("grid", left, y, width - 10.0, y), letters(left - 6, y + 4, text, "end")]
        for series in panel:
            parts += _path(series, xs, ys)
        if record.best_step:
            parts.append(line("target", xs.at(record.best_step), top + 18, xs.at(record.best_step), top + 18 + _PANEL))
        top += 18 + _PANEL + 22
    for tick in xs.ticks(6):
        if tick >= 0:
            parts.append(letters(xs.at(tick), top - 4, f"{tick:,.0f}", "middle"))
    kept = f"; the dashed line is step {record.best_step:,}, which was kept" if record.best_step else ""
    parts.append(letters(12, top + 14, f"steps{kept}"))
    return picture(f"The training of {name}, step by step", width, top + 24, parts)


def _steps(steps: Sequence[int], start: float, end: float) -> Axis:
    low, high = min(steps), max(steps)
    return Axis(low=low, high=max(high, low + 1), start=start, end=end)


def _legend(panel: Sequence[Series], left: float, top: float) -> list[str]:
    parts, x = [], left
    for series in panel:
        parts += [line(series.kind, x, top + 6, x + 16, top + 6), letters(x + 21, top + 10, series.name)]
        x += 21 + pixels(series.name) + 18
    return parts


def _path(series: Series, xs: Axis, ys: Axis) -> list[str]:
    spots = [(xs.at(step), ys.at(value)) for step, value in series.points]
    return [line(series.kind, *one, *other) for one, other in pairwise(spots)]


def curve_letters(record: TrainingRecord) -> str:
    """Return the curve in letters, or "" where too little was measured to draw a line."""
    drawn = panels(record)
    steps = [step for panel in drawn for series in panel for step, _ in series.points]
    lines = []
    for panel in drawn:
        values = [value for series in panel for _, value in series.points]
        ys = linear(values, _ROWS - 1, 0, share=False)
        xs = _steps(steps, 0, _COLUMNS - 1)
        grid = [[" "] * _COLUMNS for _ in range(_ROWS)]
        for series in panel:
            for step, value in series.points:
                grid[round(ys.at(value))][round(xs.at(step))] = series.sign
        marks = {0: plain(ys.high), _ROWS - 1: plain(ys.low)}
        room = max(len(text) for text in marks.values())
        lines.append("  ".join(f"{series.sign} {series.name}" for series in panel))
        lines += [f"{padded(marks.get(row, ''), room)} │{''.join(cells).rstrip()}" for row, cells in enumerate(grid)]
        lines.append(f"{' ' * room} └{'─' * _COLUMNS}")
    if not lines:
        return ""
    ends = f"step {min(steps):,}", f"step {max(steps):,}"
    return "\n".join([*lines, f"{' ' * (room + 2)}{ends[0]}{ends[1].rjust(_COLUMNS - len(ends[0]))}"])
