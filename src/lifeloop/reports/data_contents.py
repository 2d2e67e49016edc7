"""What is in a version of the data: its splits, labels, lengths, slices, as sections of its card.

Takes a record, gives blocks. Knows nothing of HTML or Markdown.
"""

from collections.abc import Sequence

from lifeloop.core.data import SPLITS
from lifeloop.core.data_brief import Data
from lifeloop.reports.blocks import Block, Cell, Column, Facts, Row, Section, Table, Text
from lifeloop.reports.data_plot import Bar, bars_figure
from lifeloop.reports.data_record import Bin, Counted, DataRecord, Shares, SliceColumn, Spread
from lifeloop.reports.numbers import count, percent
from lifeloop.reports.setting import splits_table

_MOST_BARS = 24
_MOST_ROWS = 200
_MOST_VALUES = 30

_DRAWN = {
    "hash": "by the hash of the group alone, so that no order of rows and no later row changes it",
    "time": "by time: the oldest groups train, the newest test",
    "stratified": "stratified: each label's groups in these shares",
}
_GUARD = (
    "No training, selection or optimisation reads it: what trains or chooses reads through one module, which cannot "
    "name it. The gate reads it once a candidate is finished. People may read it, but must not use it to choose."
)


def splits_section(record: DataRecord) -> Section:
    """Return how many examples each split has, how they were drawn, and what is promised of guard."""
    data = record.data
    shares = ", ".join(f"{split} {getattr(data.splits, split):g}" for split in SPLITS)
    group = f"column {data.group!r}" if data.group else "the text itself: rows with the same text belong together"
    facts = (
        ("How they are drawn", _drawn(data)),
        ("Shares asked for", shares),
        ("What belongs together", group),
        ("For ever", "a group and a text keep the split that they were first given, in every later version"),
        ("The guard split", _GUARD),
    )
    return Section(key="splits", title="Splits", blocks=(splits_table(record.version.counts), Facts(items=facts)))


def _drawn(data: Data) -> str:
    if data.split:
        return f"as the column {data.split!r} says; groups that it puts in two are moved to the more protected one"
    column = f", by the column {data.splits.column!r}" if data.splits.column else ""
    return f"{_DRAWN[data.splits.by]}{column}"


def contents_section(record: DataRecord) -> Section:
    """Return distributions: labels or entity types, lengths, turns, languages, slices."""
    blocks: list[Block] = []
    if record.counted:
        what = "entity type" if record.task == "extract" else "label"
        blocks += _counted_blocks(record.counted, what, entities=record.task == "extract")
    if record.bins:
        blocks += [_lengths_figure(record.bins), _lengths_table(record.spreads)]
    if record.turns:
        blocks.append(_shares("Messages a conversation", "Messages", record.turns))
    if record.languages:
        blocks.append(_shares("Languages, as a program tells them", "Language", record.languages))
    blocks += _slices(record.slices)
    return Section(key="contents", title="What is in it", blocks=tuple(blocks))


def _counted_blocks(counted: Sequence[Counted], what: str, *, entities: bool) -> list[Block]:
    shown = counted[:_MOST_BARS]
    total = sum(each.n for each in counted)
    thing = "entities" if entities else "examples"
    left = f" The {len(shown)} commonest of {len(counted):,}." if len(counted) > len(shown) else ""
    bars = [Bar(each.name, each.n, f"{count(each.n)} ({percent(each.n / total)})") for each in shown]
    title = f"{what.capitalize()}s"
    caption = f"How many {thing} have each {what}, over all splits.{left}"
    return [bars_figure(title, caption, bars), _by_split(f"{title} by split", what.capitalize(), counted)]


def _by_split(caption: str, what: str, counted: Sequence[Counted], most: int = _MOST_ROWS) -> Table:
    more = f", the {most} commonest of {len(counted):,}" if len(counted) > most else ""
    rows = tuple(
        Row(
            cells=(
                Cell(each.name or "none"),
                *(Cell(count(each.by_split.get(split, 0))) for split in SPLITS),
                Cell(count(each.n)),
            )
        )
        for each in counted[:most]
    )
    heads = (Column(what), *(Column(split, True) for split in SPLITS), Column("all", True))
    return Table(caption=f"{caption}{more}", columns=heads, rows=rows)


def _lengths_figure(bins: Sequence[Bin]) -> Block:
    bars = [Bar(_range(each), each.n, count(each.n)) for each in bins]
    return bars_figure("Lengths of inputs", "How many inputs have so many words, over all splits.", bars)


def _range(bin_: Bin) -> str:
    if bin_.low == bin_.high:
        return count(bin_.low, "word")
    return f"{bin_.low:,} to {bin_.high:,} words"


def _lengths_table(spreads: Sequence[Spread]) -> Table:
    rows = []
    for spread in spreads:
        for unit, values in (("words", spread.words), ("characters", spread.chars)):
            rows.append(Row(cells=(Cell(spread.split, note=unit), *(Cell(count(value)) for value in values))))
    heads = (
        Column("Split"),
        Column("least", True),
        Column("5 of 100 are shorter", True),
        Column("median", True),
        Column("5 of 100 are longer", True),
        Column("most", True),
    )
    return Table(caption="Lengths of inputs by split", columns=heads, rows=tuple(rows))


def _shares(caption: str, what: str, shares: Shares) -> Table:
    most = shares.shares[:_MOST_VALUES]
    rows = tuple(Row(cells=(Cell(name), Cell(percent(share)))) for name, share in most)
    told = f"{caption}, in {count(shares.n_sampled, 'training example')} looked at"
    return Table(caption=told, columns=(Column(what), Column("Share", True)), rows=rows)


def _slices(slices: Sequence[SliceColumn]) -> list[Block]:
    if not slices:
        return [Text(lead="Slices.", text="The brief names no columns for slices (data.slices).")]
    return [_by_split(f"Slices by {each.column!r}", each.column, each.values, _MOST_VALUES) for each in slices]
