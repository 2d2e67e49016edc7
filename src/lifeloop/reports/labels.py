"""Where the names of points go so that none covers another, or a point.

Takes points and boxes in pixels, gives boxes. A name stands beside its point where there is room, further away with a
line to it where there is not, and in a strip under the figure as the last resort.
"""

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct

HEIGHT = 15.0
"""Height of a line of letters in a figure, in pixels."""

_RINGS = (20.0, 32.0, 46.0, 62.0, 80.0, 102.0, 128.0, 160.0, 200.0, 250.0, 310.0)
_ANGLES = tuple(index * math.pi / 8 for index in (0, 8, 1, 15, 7, 9, 2, 14, 6, 10, 3, 13, 5, 11, 4, 12))


class Box(Struct, frozen=True):
    """A rectangle, in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Return whether the two share any area."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def within(self, other: "Box") -> bool:
        """Return whether all of it lies in the other."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """Return its point that is nearest to this one."""
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)


class Anchor(Struct, frozen=True):
    """A point that wants a name of this width."""

    x: float
    y: float
    width: float


class Label(Struct, frozen=True):
    """Where a name stands."""

    box: Box
    line: tuple[float, float, float, float] | None
    """From the point to the name, where they are apart."""


def place(anchors: Sequence[Anchor], area: Box, points: Sequence[Box], bars: Sequence[Box]) -> list[Label]:
    """Return one label an anchor, in order. Names never overlap each other or `points`, and `bars` if it can be.

    `area` holds the labels; those for which it has no room stand below it, in rows.
    """
    placed: list[Label | None] = []
    lines: list[Box] = []
    for anchor in anchors:
        others = [label.box for label in placed if label]
        label = _find(anchor, area, [*others, *points, *bars, *lines], [*others, *points], points)
        label = label or _find(anchor, area, [*others, *points], others, points)
        placed.append(label)
        if label and label.line:
            lines += _along(label.line)
    return _with_strip(anchors, placed, area)


def _find(
    anchor: Anchor, area: Box, taken: Sequence[Box], uncrossed: Sequence[Box], points: Sequence[Box]
) -> Label | None:
    """Return the first place that covers nothing taken, with a line that crosses nothing of `uncrossed`.

    Beside its point, without a line, a name must keep its distance from every other point: it would be read as theirs.
    """
    own = Box(anchor.x - 7, anchor.y - 7, anchor.x + 7, anchor.y + 7)
    for box, near in _places(anchor):
        if not box.within(area) or any(box.meets(other) for other in taken):
            continue
        if near:
            wide = Box(box.left - 7, box.top - 3, box.right + 7, box.bottom + 3)
            if any(wide.meets(point) and not point.meets(own) for point in points):
                continue
            return Label(box=box, line=None)
        line = (anchor.x, anchor.y, *box.nearest(anchor.x, anchor.y))
        steps = [step for step in _along(line) if not step.meets(own)]
        if not any(step.meets(other) for step in steps for other in uncrossed):
            return Label(box=box, line=line)
    return None


def _places(anchor: Anchor) -> Iterable[tuple[Box, bool]]:
    """Yield boxes from the nearest to the furthest, and whether they are beside the point."""
    x, y, width = anchor.x, anchor.y, anchor.width
    middle = y - HEIGHT / 2
    for left, top in (
        (x + 9, middle),
        (x - 9 - width, middle),
        (x - width / 2, y - 9 - HEIGHT),
        (x - width / 2, y + 9),
        (x + 7, y - 6 - HEIGHT),
        (x + 7, y + 6),
        (x - 7 - width, y - 6 - HEIGHT),
        (x - 7 - width, y + 6),
    ):
        yield Box(left, top, left + width, top + HEIGHT), True
    for ring in _RINGS:
        for angle in _ANGLES:
            across, down = math.cos(angle), math.sin(angle)
            left = x + across * (ring + width / 2) - width / 2
            top = y + down * ring - HEIGHT / 2
            yield Box(left, top, left + width, top + HEIGHT), False


def _along(line: tuple[float, float, float, float]) -> list[Box]:
    """Return small boxes that cover a line."""
    x1, y1, x2, y2 = line
    n = max(1, math.ceil(math.hypot(x2 - x1, y2 - y1) / 4))
    spots = [(x1 + (x2 - x1) * step / n, y1 + (y2 - y1) * step / n) for step in range(n)]
    return [Box(x - 1, y - 1, x + 1, y + 1) for x, y in spots]


def _with_strip(anchors: Sequence[Anchor], placed: Sequence[Label | None], area: Box) -> list[Label]:
    """Return the labels with those that found no room in rows below the area."""
    labels: list[Label] = []
    left, top = area.left, area.bottom + STRIP
    for anchor, label in zip(anchors, placed, strict=True):
        if label is None:
            if left > area.left and left + anchor.width > area.right:
                left, top = area.left, top + HEIGHT + 3
            box = Box(left, top, left + anchor.width, top + HEIGHT)
            label = Label(box=box, line=(anchor.x, anchor.y, *box.nearest(anchor.x, anchor.y)))
            left = box.right + 12
        labels.append(label)
    return labels


STRIP = 52.0
"""How far below the area the first row of the strip begins: under the axis."""
