"""What became of every row that came, as a section of the data card: numbers that add up.

Takes a record, gives blocks. Knows nothing of HTML or Markdown.
"""

from lifeloop.core.data import SPLITS, Fate
from lifeloop.reports.blocks import Block, Cell, Column, Row, Section, Table, Text, Tile, Tiles
from lifeloop.reports.data_plot import Bar, bars_figure
from lifeloop.reports.data_record import DataRecord
from lifeloop.reports.numbers import count, percent

_MOST_BARS = 14
"""Reasons that are drawn; the rest is drawn as one."""


def n_lost(record: DataRecord, fate: Fate) -> int:
    """Return how many rows met a fate."""
    return sum(loss.n_rows for loss in record.losses if loss.fate == fate)


def rows_section(record: DataRecord) -> Section:
    """Return the way from the rows that came to the examples of each split."""
    version = record.version
    tiles = Tiles(
        tiles=(
            Tile("rows came", count(version.n_raw), f"from {count(len(record.origins), 'source')}"),
            Tile("kept", count(version.n_kept), _share(version.n_kept, version.n_raw)),
            Tile("dropped", count(n_lost(record, "dropped")), "repeats, and leaks between splits"),
            Tile("quarantined", count(n_lost(record, "quarantined")), "for people to look at"),
        )
    )
    blocks: list[Block] = [tiles]
    if record.losses:
        blocks += [_figure(record), _table(record)]
    else:
        blocks.append(Text(text="Every row that came is an example of one split."))
    hint = "lifeloop data show SOURCE:ROW says what became of a row; --fate and --reason list all of a kind."
    return Section(key="rows", title="What became of every row", blocks=(*blocks, Text(text=hint)))


def _share(n: int, of: int) -> str:
    return f"{percent(n / of)} of all rows" if of else ""


def _figure(record: DataRecord) -> Block:
    version = record.version
    bars = [Bar("rows that came", version.n_raw, count(version.n_raw), colour="rest")]
    left = version.n_raw
    drawn = [(loss.reason, loss.n_rows) for loss in record.losses]
    if len(drawn) > _MOST_BARS:
        largest = sorted(drawn, key=lambda pair: -pair[1])[: _MOST_BARS - 1]
        rest = sum(n for name, n in drawn if (name, n) not in largest)
        drawn = [pair for pair in drawn if pair in largest]
        drawn.append((f"{len(record.losses) - len(drawn)} other reasons", rest))
    for name, n in drawn:
        left -= n
        bars.append(Bar(name, n, f"−{count(n)}", start=left, colour="theirs"))
    for split in SPLITS:
        n = version.counts.get(split, 0)
        left -= n
        bars.append(Bar(f"kept: {split}", n, count(n), start=left))
    caption = "From the rows that came, step by step, to the examples of each split."
    return bars_figure("Where the rows went", caption, bars)


def _table(record: DataRecord) -> Table:
    version, left = record.version, record.version.n_raw
    rows = [Row(cells=(Cell("collect"), Cell("rows that came"), Cell(""), Cell(""), Cell(count(left))))]
    for loss in record.losses:
        left -= loss.n_rows
        cells = (
            Cell(loss.step or "not known"),
            Cell(loss.reason),
            Cell(loss.fate),
            Cell(f"−{count(loss.n_rows)}"),
            Cell(count(left)),
        )
        rows.append(Row(cells=cells))
    last = (Cell("kept"), Cell("examples in four splits"), Cell("kept"), Cell(""), Cell(count(version.n_kept)))
    rows.append(Row(cells=last, marked=True))
    heads = (Column("Step"), Column("Reason"), Column("Fate"), Column("Rows", True), Column("Left", True))
    caption = "From the rows that came to the examples, by step and reason"
    return Table(caption=caption, columns=heads, rows=tuple(rows))
