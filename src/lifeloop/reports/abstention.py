"""The abstention curve: how right a candidate is on what it still answers, when less sure answers are withheld.

Takes a record, gives a figure of challenger and champion on test. Knows nothing of how a threshold is chosen.
"""

import itertools
import math

from lifeloop.core.evidence import Spot, Trial
from lifeloop.reports.axes import Axis, linear, share_tick, step_of
from lifeloop.reports.blocks import Block, Figure
from lifeloop.reports.contenders import champion_word, gate_trial
from lifeloop.reports.drawing import legend, letters, line, picture, shape
from lifeloop.reports.letters import columns, padded
from lifeloop.reports.numbers import percent
from lifeloop.reports.record import CycleRecord

_WIDE, _NARROW = 820, 360
_LINES = 8
"""Coverages that the figure in letters shows."""

Curve = tuple[str, tuple[Spot, ...]]
"""Which part (challenger, champion, baseline), and its points from most to least covered."""


def abstention_blocks(record: CycleRecord) -> list[Block]:
    """Return the figure, or nothing where neither side gives a confidence."""
    found: list[Curve] = []
    for part, candidate in (
        ("challenger", record.verdict.challenger),
        (champion_word(record), record.verdict.champion),
    ):
        trial = gate_trial(record, candidate, "test", "clean")
        if trial and _says_something(trial):
            found.append((part, _ordered(trial.abstention)))
    if record.verdict.challenger == record.verdict.champion:
        found = found[:1]
    if not found:
        return []
    return [
        Figure(
            title="Accuracy on what is still answered",
            caption="Withholding less sure answers leaves fewer answered (left) and, where the confidence is worth "
            "something, more of those right (up). On test examples.",
            wide=_draw(found, _WIDE),
            narrow=_draw(found, _NARROW),
            letters=_in_letters(found),
        )
    ]


def _says_something(trial: Trial) -> bool:
    return len({spot.coverage for spot in _ordered(trial.abstention)}) > 1


def _ordered(spots: tuple[Spot, ...]) -> tuple[Spot, ...]:
    finite = [spot for spot in spots if math.isfinite(spot.accuracy) and spot.coverage > 0]
    return tuple(sorted(finite, key=lambda spot: -spot.coverage))


def _draw(curves: list[Curve], width: int) -> str:
    head, top = legend([(part,) for part, _ in curves], (), width)
    top += 26.0
    floor = top + 240.0
    spots = [spot for _, points in curves for spot in points]
    ys = linear([spot.accuracy for spot in spots], floor, top, share=True)
    xs = Axis(low=0.0, high=1.0, start=54.0, end=width - 24.0)
    parts = [*head, letters(4, top - 10, "accuracy of what is answered")]
    step = step_of((ys.high - ys.low) / 6)
    for tick in ys.ticks(6):
        parts += [line("grid", xs.start, ys.at(tick), xs.end, ys.at(tick))]
        parts.append(letters(xs.start - 6, ys.at(tick) + 4, share_tick(tick, step), "end"))
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts += [line("grid", xs.at(tick), floor, xs.at(tick), floor + 5)]
        parts.append(letters(xs.at(tick), floor + 18, f"{100 * tick:.0f}%", "middle"))
    parts.append(letters((xs.start + xs.end) / 2, floor + 37, "share of requests answered", "middle"))
    for part, points in curves:
        colour = "ours" if part == "challenger" else "theirs"
        places = [(xs.at(spot.coverage), ys.at(spot.accuracy)) for spot in points]
        for before, after in itertools.pairwise(places):
            parts.append(line(colour, *before, *after))
        parts += [shape((part,), *place) for place in places]
    return picture("Accuracy against the share of requests answered", width, floor + 46, parts)


def _in_letters(curves: list[Curve]) -> str:
    rows = [("", "answered", "right of those", "when sure to")]
    for part, points in curves:
        every = max(1, len(points) // _LINES)
        for spot in points[::every]:
            rows.append((part, percent(spot.coverage), percent(spot.accuracy), f"{spot.threshold:.2f}"))
    widths = [max(columns(row[place]) for row in rows) for place in range(4)]
    return "\n".join("  ".join(map(padded, row, widths)).rstrip() for row in rows)
