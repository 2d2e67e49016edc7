"""The figures of a report, and its tables, in letters, for pages that hold no pictures and for terminals.

Takes a scene or a table, gives lines of equal-width text. Knows nothing of records.
"""

import math

from lifeloop.reports.blocks import Table
from lifeloop.reports.letters import columns, one_line, padded
from lifeloop.reports.numbers import usd
from lifeloop.reports.plot import value_text
from lifeloop.reports.scene import Mark, Scene, front, quality_axis

_WIDTH = 40


def quality_cost_letters(scene: Scene) -> str:
    """Return quality against cost, the cheapest first; a star marks the best for their cost."""
    best = set(front(scene.marks, scene.direction))
    marks = sorted((mark for mark in scene.marks if math.isfinite(mark.cost)), key=lambda mark: mark.cost)
    rows = [("", "USD for 1,000 requests", scene.label, "candidate")]
    rows += [("★" if m in best else "", usd(m.cost), scene.written(m.value), _named(m)) for m in marks]
    widths = [max(columns(row[place]) for row in rows) for place in range(3)]
    lines = ["  ".join([*map(padded, row[:3], widths), row[3]]) for row in rows]
    return "\n".join([*(line.rstrip() for line in lines), "", "★ best for its cost"])


def forest_letters(scene: Scene) -> str:
    """Return the intervals, one a line, best first: ├──●──┤."""
    axis = quality_axis(scene, scene.marks, 0, _WIDTH)
    names = [_named(mark) for mark in scene.marks]
    width = max(columns(name) for name in names)
    lines = []
    for mark, name in zip(scene.marks, names, strict=True):
        strip = [" "] * (_WIDTH + 1)
        if mark.has_interval:
            low, high = sorted((round(axis.at(mark.low)), round(axis.at(mark.high))))
            strip[low : high + 1] = "─" * (high - low + 1)
            strip[low], strip[high] = "├", "┤"
        strip[round(axis.at(mark.value))] = "●"
        lines.append(f"{padded(name, width)}  {''.join(strip)}  {value_text(scene, mark, True)}")
    return "\n".join(lines)


def table_letters(table: Table) -> str:
    """Return a table as columns of equal-width text under its caption, numbers to the right."""
    rows = [[column.title for column in table.columns]]
    rows += [
        [one_line(cell.text + (f" ({cell.note})" if cell.note else "")) for cell in row.cells] for row in table.rows
    ]
    widths = [max(columns(row[place]) for row in rows) for place in range(len(table.columns))]

    def written(row: list[str]) -> str:
        cells = zip(row, widths, table.columns, strict=True)
        return "  ".join(
            " " * (width - columns(text)) + text if column.numeric else padded(text, width)
            for text, width, column in cells
        ).rstrip()

    return "\n".join([one_line(table.caption), *(f"  {written(row)}" for row in rows)])


def _named(mark: Mark) -> str:
    return one_line(mark.name) + (f" ({', '.join(mark.parts)})" if mark.parts else "")
