"""What a version of the data changed against the one before, as a section of its card.

Takes a record, gives blocks. Knows nothing of HTML or Markdown.
"""

from lifeloop.core.content import short
from lifeloop.core.data import SPLITS
from lifeloop.reports.blocks import Block, Cell, Column, Facts, Row, Section, Table, Text
from lifeloop.reports.data_record import DataDiff, DataRecord
from lifeloop.reports.numbers import MINUS, count

_MOST = 30


def changes_section(record: DataRecord) -> Section:
    """Return what came, went and changed, what became of rows that were there, and which findings are new."""
    diff = record.diff
    if diff is None:
        blocks: tuple[Block, ...] = (Text(text="This is the first version of the data: there is none before it."),)
    elif diff.is_empty:
        blocks = (Text(text=f"No row, fate or finding changed against version {diff.before.number}."),)
    else:
        blocks = (_summary(diff), *_tables(diff))
    return Section(key="changes", title="What changed against the version before", blocks=blocks)


def _summary(diff: DataDiff) -> Facts:
    changed = ", ".join(f"{what} {count(n)}" for what, n in diff.changed.items() if n)
    items = [
        ("Before", f"version {diff.before.number}, {short(diff.before.id)}, cycle {diff.before.cycle}"),
        ("Rows as they came", f"{count(diff.raw_came)} came, {count(diff.raw_went)} went"),
        ("Examples that came", _splits(diff.came)),
        ("Examples that went", _splits(diff.went)),
        ("Examples that changed", f"{count(diff.n_changed)}{f': {changed}' if changed else ''}"),
        ("Groups that changed their split", count(diff.n_moved, "example") if diff.n_moved else "none"),
        ("Parts shared with it", f"{count(diff.n_parts_shared)}; {count(diff.n_parts_compared)} compared row by row"),
    ]
    return Facts(items=tuple(items))


def _splits(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    each = ", ".join(f"{split} {count(counts[split])}" for split in SPLITS if counts.get(split))
    return f"{count(total)}{f': {each}' if each else ''}"


def _tables(diff: DataDiff) -> list[Block]:
    blocks: list[Block] = []
    if diff.fates:
        rows = tuple(
            Row(cells=(Cell(f.before), Cell(f.after), Cell(count(f.n_rows)), Cell(", ".join(f.examples[:3]))))
            for f in diff.fates[:_MOST]
        )
        heads = (Column("Before"), Column("Now"), Column("Rows", True), Column("For example"))
        blocks.append(Table(caption="Rows of which something else became", columns=heads, rows=rows))
    if diff.labels:
        rows = tuple(
            Row(cells=(Cell(each.name), *(Cell(_change(each.came, each.went, split)) for split in SPLITS)))
            for each in diff.labels[:_MOST]
        )
        heads = (Column("Label"), *(Column(split, True) for split in SPLITS))
        more = f", the {_MOST} that changed most of {len(diff.labels):,}" if len(diff.labels) > _MOST else ""
        blocks.append(Table(caption=f"Examples by label that came and went{more}", columns=heads, rows=rows))
    if diff.findings:
        rows = tuple(
            Row(
                cells=(
                    Cell(each.step),
                    Cell(each.reason),
                    Cell(each.fate),
                    Cell(count(each.before) if each.before else "none"),
                    Cell(count(each.after) if each.after else "none"),
                )
            )
            for each in diff.findings[:_MOST]
        )
        heads = (
            Column("Step"),
            Column("Finding"),
            Column("Fate"),
            Column("Rows before", True),
            Column("Rows now", True),
        )
        blocks.append(Table(caption="Findings that appeared, disappeared or changed", columns=heads, rows=rows))
    return blocks


def _change(came: dict[str, int], went: dict[str, int], split: str) -> str:
    parts = [
        f"+{count(came[split])}" if came.get(split) else "",
        f"{MINUS}{count(went[split])}" if went.get(split) else "",
    ]
    return " ".join(part for part in parts if part) or "0"
