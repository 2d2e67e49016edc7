"""The pieces that figures are drawn with: SVG lines, letters and shapes, and the frame that makes them one picture.

Colours follow light, dark and print, and are told apart by colour-blind readers (blue, vermilion and green after Okabe
and Ito, 2008); shapes differ too. Knows nothing of what the pieces mean beyond the parts of candidates.
"""

from collections.abc import Sequence
from html import escape

from lifeloop.reports.letters import EM, one_line, pixels

_STYLE = """
.figure{color:#1b2026;--ours:#0060a8;--theirs:#b34700;--rest:#5b6570;--front:#00795a;--faint:#dfe3e8;--paper:#fff}
@media (prefers-color-scheme:dark){.figure{color:#e8eaed;--ours:#62b8f0;--theirs:#f0a13c;--rest:#a9b2bc;
--front:#3cc79b;--faint:#343b43;--paper:#181c20}}
@media print{.figure{color:#000;--ours:#0060a8;--theirs:#b34700;--rest:#444;--front:#00795a;--faint:#ccc;--paper:#fff}}
.figure text{font:11.5px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:currentColor;
paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round}
.figure .bold{font-weight:700}
.figure .grid{stroke:var(--faint)}
.figure .lead{stroke:var(--rest);stroke-width:.7}
.figure .rest{stroke:var(--rest);fill:var(--rest)}.figure line.rest{opacity:.55}
.figure .ours{stroke:var(--ours);fill:var(--ours)}
.figure .theirs{stroke:var(--theirs);fill:var(--theirs)}
.figure .hollow{fill:none;stroke-width:2}
.figure .front{stroke:var(--front);fill:none;stroke-width:2}
.figure .target{stroke:currentColor;stroke-dasharray:5 4}
.figure .band{fill:var(--faint);opacity:.45}
"""


def picture(what: str, width: int, height: float, parts: Sequence[str]) -> str:
    """Return the pieces as one self-contained `<svg>`, with its name for those who do not see it."""
    name = clean(what)
    head = f'<svg class="figure" role="img" aria-label="{name}" viewBox="0 0 {width} {height:.0f}" font-size="{EM}">'
    return f"{head}<title>{name}</title><style>{_STYLE}</style>{''.join(parts)}</svg>"


def clean(text: str) -> str:
    """Return the text as it may stand in SVG."""
    return escape(one_line(text))


def letters(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    """Return a line of letters at a pixel."""
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{clean(text)}</text>'


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a straight line."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def band(left: float, top: float, right: float, bottom: float) -> str:
    """Return a shaded rectangle: a part of the figure that is off its scales."""
    return (
        f'<rect class="band" x="{left:.1f}" y="{top:.1f}" width="{max(0.0, right - left):.1f}" '
        f'height="{max(0.0, bottom - top):.1f}"/>'
    )


def bar(kind: str, left: float, top: float, right: float, bottom: float) -> str:
    """Return a filled rectangle, never too thin to be seen."""
    return (
        f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{max(1.0, right - left):.1f}" '
        f'height="{bottom - top:.1f}"/>'
    )


def colour(parts: Sequence[str]) -> str:
    """Return which colour the parts of a candidate give it."""
    return "ours" if "challenger" in parts else "theirs" if parts else "rest"


def shape(parts: Sequence[str], x: float, y: float) -> str:
    """Return a diamond for the challenger, a square for what it is held against, both where it is both, or a dot."""
    square = f'x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"'
    around = f'x="{x - 8:.1f}" y="{y - 8:.1f}" width="16" height="16"'
    if "challenger" in parts:
        diamond = f'<path class="ours" d="M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7z"/>'
        return diamond + (f'<rect class="theirs hollow" {around}/>' if len(parts) > 1 else "")
    return f'<rect class="theirs" {square}/>' if parts else f'<circle class="rest" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def legend(everyone: Sequence[Sequence[str]], lines: Sequence[tuple[str, str]], width: int) -> tuple[list[str], float]:
    """Return what the shapes and lines mean, of those that are there, and the pixel where it ends.

    `everyone` holds the parts of each candidate, `lines` the (kind, meaning) of each line.
    """
    there = sorted({part for parts in everyone for part in parts}, key=lambda part: (part != "challenger", part))
    entries = [("shape", part) for part in there] + [(kind, meaning) for kind, meaning in lines if meaning]
    pieces: list[str] = []
    x, y = 10.0, 13.0
    for kind, meaning in entries:
        room = (14 if kind == "shape" else 26) + pixels(meaning)
        if x > 10 and x + room > width:
            x, y = 10.0, y + 20
        if kind == "shape":
            pieces += [shape((meaning,), x, y), letters(x + 14, y + 4, meaning)]
        else:
            pieces += [line(kind, x - 5, y, x + 15, y), letters(x + 22, y + 4, meaning)]
        x += room + 24
    return pieces, (y + 12 if entries else 0.0)
