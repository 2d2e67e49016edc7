"""Bars that lie: how many of each, drawn for a wide page, for a narrow one, and in letters.

Takes names and numbers, gives a figure. Knows nothing of what is counted.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from lifeloop.reports.blocks import Figure
from lifeloop.reports.drawing import bar, letters, line, picture
from lifeloop.reports.letters import columns, one_line, padded, pixels, shortened

Colour = Literal["ours", "theirs", "rest"]

_WIDE, _NARROW = 820, 360
_NAMES = 300
"""Pixels for the names on a wide page."""
_LETTERS = 36
"""Columns of the longest bar in letters."""


class Bar(Struct, frozen=True):
    """One bar."""

    name: str
    n: int
    said: str
    """The number in words, which stands at its end."""
    start: int = 0
    """Where it begins; bars that follow each other show what is left."""
    colour: Colour = "ours"


def bars_figure(title: str, caption: str, bars: Sequence[Bar]) -> Figure:
    """Return bars, the first on top. There must be one at least."""
    return Figure(
        title=title,
        caption=caption,
        wide=_draw(title, bars, _WIDE),
        narrow=_draw(title, bars, _NARROW),
        letters=_in_letters(bars),
    )


def _draw(title: str, bars: Sequence[Bar], width: int) -> str:
    beside = width >= _WIDE
    left = _NAMES + 14.0 if beside else 6.0
    right = width - max(pixels(each.said) for each in bars) - 14
    height = 24.0 if beside else 38.0
    most = max(1, *(each.start + each.n for each in bars))
    parts = [line("grid", left, 2, left, 2 + height * len(bars))]
    for place, each in enumerate(bars):
        top = 4 + place * height
        middle = top + (10 if beside else 26)
        begin = left + (right - left) * each.start / most
        end = left + (right - left) * (each.start + each.n) / most
        if beside:
            parts.append(letters(left - 10, middle + 4, shortened(each.name, _NAMES), "end"))
        else:
            parts.append(letters(left + 4, top + 12, shortened(each.name, width - 16)))
        if each.n:
            parts.append(bar(each.colour, begin, middle - 6, end, middle + 6))
        parts.append(letters(max(end, left) + 6, middle + 4, each.said))
    return picture(title, width, height * len(bars) + 6, parts)


def _in_letters(bars: Sequence[Bar]) -> str:
    most = max(1, *(each.start + each.n for each in bars))
    names = [one_line(each.name) for each in bars]
    width = max(columns(name) for name in names)
    lines = []
    for name, each in zip(names, bars, strict=True):
        begin, end = (round(_LETTERS * place / most) for place in (each.start, each.start + each.n))
        strip = " " * min(begin, _LETTERS - 1) + "█" * max(end - begin, 1 if each.n else 0)
        lines.append(f"{padded(name, width)}  {padded(strip, _LETTERS)}  {each.said}".rstrip())
    return "\n".join(lines)
