"""The figures of a report as SVG: quality against cost, and the intervals of all candidates side by side.

Takes a scene and a width in pixels, gives one self-contained `<svg>`. Knows nothing of records.
"""

import math
from collections.abc import Sequence

from msgspec import Struct

from lifeloop.reports.axes import Axis, CostAxis, cost_axis
from lifeloop.reports.drawing import band, clean, colour, legend, letters, line, picture, shape
from lifeloop.reports.labels import HEIGHT, Anchor, Box, Label, place
from lifeloop.reports.letters import one_line, pixels, short_names
from lifeloop.reports.numbers import usd
from lifeloop.reports.scene import Mark, Scene, front, near_marks, quality_axis, quality_steps

_BELOW = 46.0
"""Height of the band for what is far below the rest, in pixels."""
_CROWD = 15
"""From this number of candidates on, names are cut shorter."""
_ROOMY = 500
"""From this width on there is room for long names and for intervals in numbers."""


class _Plane(Struct, frozen=True):
    """Where quality and cost stand."""

    area: Box
    xs: CostAxis
    ys: Axis
    below: float | None
    """Pixel of what is far below the rest; None where nothing is."""
    marks: list[Mark]
    spots: list[tuple[float, float]]
    near: list[bool]
    """Whether a mark is on the scale of quality."""


def quality_cost(scene: Scene, width: int) -> str:
    """Return the SVG of quality against the cost of 1,000 requests, on a logarithmic scale.

    What costs nothing has a place of its own left of the scale, and what is far below the rest one beneath it. The
    stairs join those that are best for their cost. Candidates without a finite cost are left out.
    """
    marks = [mark for mark in scene.marks if math.isfinite(mark.cost)]
    best = "best for its cost" if marks else ""
    head, top = legend([mark.parts for mark in marks], (("front", best), ("target", scene.goal)), width)
    plane = _plane(scene, marks, width, top + 26)
    room = (0.3 if width > _ROOMY else 0.36) * width * (0.75 if len(marks) > _CROWD else 1)
    texts = _texts(scene, plane, room)
    labels = _labels(scene, plane, texts)
    bottom = max([plane.area.bottom + 46, *(label.box.bottom + 8 for label in labels)])
    parts = [
        *head,
        letters(4, top + 14, f"{scene.label} ({'higher' if scene.direction == 'max' else 'lower'} is better)"),
        *_bands(plane),
        *(line("lead", *label.line) for label in labels if label.line),
        *_frame(scene, plane),
        *(line("front", *piece) for piece in _stairs(scene, plane)),
    ]
    for index, mark in enumerate(marks):
        parts += _mark(scene, mark, plane.spots[index], plane.ys if plane.near[index] else None)
    for mark, text, label in zip(marks, texts, labels, strict=True):
        kind = "bold" if mark.parts else ""
        parts.append(letters(label.box.left + 2, label.box.top + HEIGHT - 3.5, text, kind=kind))
    return picture(f"{scene.label} against the cost of 1,000 requests, {len(marks)} candidates", width, bottom, parts)


def _plane(scene: Scene, marks: list[Mark], width: int, top: float) -> _Plane:
    near = near_marks(scene, marks)
    floor = top + (330 if width > _ROOMY else 320) + 16 * max(0, len(marks) - 10)
    far = len(near) < len(marks)
    ys = quality_axis(scene, near, floor - (_BELOW + 14 if far else 0), top)
    widest = max([pixels(text) for _, text in quality_steps(scene, ys, 6)] + [pixels("lower") if far else 0])
    area = Box(14 + widest, top, width - 4.0, floor)
    xs = cost_axis([mark.cost for mark in marks], area.left, area.right - 8)
    below = floor - _BELOW / 2 if far else None
    held = [any(mark is other for other in near) for mark in marks]
    spots = [
        (xs.at(mark.cost), ys.at(mark.value) if on or below is None else below)
        for mark, on in zip(marks, held, strict=True)
    ]
    return _Plane(area=area, xs=xs, ys=ys, below=below, marks=marks, spots=spots, near=held)


def _texts(scene: Scene, plane: _Plane, room: float) -> list[str]:
    """Return the name that stands at each mark; off the scale, its quality too."""
    short = short_names([mark.name for mark in scene.marks], room)
    names = [name for mark, name in zip(scene.marks, short, strict=True) if math.isfinite(mark.cost)]
    return [
        name if near else f"{name} {one_line(scene.written(mark.value))}"
        for name, mark, near in zip(names, plane.marks, plane.near, strict=True)
    ]


def _labels(scene: Scene, plane: _Plane, texts: Sequence[str]) -> list[Label]:
    """Return where each name stands; those that matter most choose first."""
    best = set(front(plane.marks, scene.direction))
    marks, spots = plane.marks, plane.spots
    order = sorted(range(len(marks)), key=lambda i: (not marks[i].parts, marks[i] not in best, spots[i][1]))
    points = [Box(x - 8, y - 8, x + 8, y + 8) for x, y in spots]
    bars = [_around(piece) for piece in _stairs(scene, plane)]
    for mark, (x, _), near in zip(marks, spots, plane.near, strict=True):
        if mark.has_interval and near:
            bars.append(_around((x, plane.ys.at(mark.low), x, plane.ys.at(mark.high))))
    if scene.goal and scene.target is not None:
        y = plane.ys.at(scene.target)
        bars.append(_around((plane.area.left, y, plane.area.right, y)))
    anchors = [Anchor(*spots[i], pixels(texts[i]) + 4) for i in order]
    found = dict(zip(order, place(anchors, plane.area, points, bars), strict=True))
    return [found[i] for i in range(len(marks))]


def _around(piece: tuple[float, float, float, float]) -> Box:
    x1, y1, x2, y2 = piece
    return Box(min(x1, x2) - 2, min(y1, y2) - 2, max(x1, x2) + 2, max(y1, y2) + 2)


def _bands(plane: _Plane) -> list[str]:
    """Return the shaded places off the scales."""
    area, xs, parts = plane.area, plane.xs, []
    if xs.zero is not None and xs.scale is not None:
        parts.append(band(area.left, area.top, xs.scale.start, area.bottom))
    if plane.below is not None:
        parts.append(band(area.left, area.bottom - _BELOW, area.right, area.bottom))
    return parts


def _frame(scene: Scene, plane: _Plane) -> list[str]:
    """Return the ticks, the grid, the names of the axes, and the target."""
    area, xs, parts = plane.area, plane.xs, []
    if plane.below is not None:
        parts.append(letters(area.left - 6, plane.below + 4, "lower", "end"))
    for y, text in quality_steps(scene, plane.ys, 6):
        parts += [line("grid", area.left, y, area.right, y), letters(area.left - 6, y + 4, text, "end")]
    parts.append(line("grid", area.left, area.bottom, area.right, area.bottom))
    for x, text in xs.ticks(72):
        parts += [line("grid", x, area.bottom, x, area.bottom + 5), letters(x, area.bottom + 18, text, "middle")]
    scale = ", log scale" if xs.scale is not None else ""
    middle = (area.left + area.right) / 2
    parts.append(letters(middle, area.bottom + 37, f"USD for 1,000 requests{scale}", "middle"))
    if scene.goal and scene.target is not None:
        y = plane.ys.at(scene.target)
        parts.append(line("target", area.left, y, area.right, y))
    return parts


def _stairs(scene: Scene, plane: _Plane) -> list[tuple[float, float, float, float]]:
    """Return the lines that join the best for their cost, on to the right edge."""
    best = front(plane.marks, scene.direction)
    corners = [spot for mark in best for other, spot in zip(plane.marks, plane.spots, strict=True) if other is mark]
    pieces = []
    for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], (plane.area.right, math.nan)], strict=True):
        pieces.append((x1, y1, x2, y1))
        if math.isfinite(y2):
            pieces.append((x2, y1, x2, y2))
    return pieces


def _mark(scene: Scene, mark: Mark, spot: tuple[float, float], ys: Axis | None) -> list[str]:
    """Return a candidate's shape and, on the scale, its interval."""
    x, y = spot
    kind = colour(mark.parts)
    about = f"{mark.name}: {scene.written(mark.value)}, {usd(mark.cost)} for 1,000 requests"
    parts = [f"<g><title>{clean(about)}</title>"]
    if mark.has_interval and ys:
        low, high = ys.at(mark.low), ys.at(mark.high)
        parts += [line(kind, x, low, x, high), line(kind, x - 3, low, x + 3, low), line(kind, x - 3, high, x + 3, high)]
    return [*parts, shape(mark.parts, x, y), "</g>"]


def forest(scene: Scene, width: int) -> str:
    """Return the SVG of every candidate's quality with its interval, one a line, best first."""
    roomy = width > _ROOMY
    names = short_names([mark.name for mark in scene.marks], (0.28 if roomy else 0.36) * width)
    values = [value_text(scene, mark, roomy) for mark in scene.marks]
    left = 22 + max(pixels(name) for name in names)
    right = width - 20 - max(pixels(value) for value in values)
    axis = quality_axis(scene, scene.marks, left, max(right, left + 60))
    parts, top = legend([mark.parts for mark in scene.marks], (("target", scene.goal),), width)
    top, step = top + 10, 24.0
    floor = top + step * len(scene.marks)
    for x, text in quality_steps(scene, axis, 6 if axis.end - axis.start > 280 else 3):
        parts += [line("grid", x, top, x, floor), letters(x, floor + 16, text, "middle")]
    if scene.goal and scene.target is not None:
        x = axis.at(scene.target)
        parts.append(line("target", x, top, x, floor))
    for index, mark in enumerate(scene.marks):
        y = top + step * (index + 0.5)
        parts += _forest_row(mark, names[index], axis, y)
        parts.append(letters(width - 4, y + 4, values[index], "end"))
    what = f"{scene.label} of {len(scene.marks)} candidates with intervals"
    return picture(what, width, floor + 26, parts)


def value_text(scene: Scene, mark: Mark, with_interval: bool) -> str:
    """Return a mark's quality in numbers, with its interval where there is one and it is wanted."""
    value = one_line(scene.written(mark.value))
    if not (with_interval and mark.has_interval):
        return value
    return f"{value} ({scene.written(mark.low)} to {scene.written(mark.high)})"


def _forest_row(mark: Mark, name: str, axis: Axis, y: float) -> list[str]:
    kind = colour(mark.parts)
    bold = "bold" if mark.parts else ""
    parts = ["<g>", f"<title>{clean(mark.name)}</title>", letters(4, y + 4, name, kind=bold)]
    if mark.has_interval:
        low, high = axis.at(mark.low), axis.at(mark.high)
        parts += [line(kind, low, y, high, y), line(kind, low, y - 4, low, y + 4), line(kind, high, y - 4, high, y + 4)]
    return [*parts, shape(mark.parts, axis.at(mark.value), y), "</g>"]
