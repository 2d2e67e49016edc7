"""What refining looked for and what it found, with rows to look at, as sections of the data card.

Takes a record, gives blocks. Knows nothing of HTML or Markdown, and nothing of how a step finds what it finds.
"""

from collections.abc import Callable, Sequence

from lifeloop.reports.blocks import Block, Cell, Column, Row, Section, Table, Text
from lifeloop.reports.data_record import DataRecord, FoundRows, ShownRow
from lifeloop.reports.numbers import count, percent

WITHHELD = "text not shown: a guard row"

_OFF = "off"

Setting = Callable[[DataRecord], str]
"""From a record to what a step was told: it begins with "off" where it did nothing."""


def _acts(name: str) -> Setting:
    """Return the setting of a step of [data.refine] that reports or acts."""

    def said(record: DataRecord) -> str:
        step = getattr(record.data.refine, name)
        return f"on, action {step.action!r}" if step.on else _OFF

    return said


def _encoding(record: DataRecord) -> str:
    step = record.data.refine.encoding
    return f"on, {'mends what it can' if step.repair else 'quarantines'}" if step.on else _OFF


def _language(record: DataRecord) -> str:
    step = record.data.refine.language
    if not step.allowed:
        return f"{_OFF}: the brief names no language"
    return f"on, allowed: {', '.join(step.allowed)}, from {percent(step.confidence, 0)} sure" if step.on else _OFF


def _near(record: DataRecord) -> str:
    step = record.data.refine.near_duplicates
    return f"on, from a similarity of {step.similarity:g}, action {step.action!r}" if step.on else _OFF


def _contamination(record: DataRecord) -> str:
    step = record.data.refine.contamination
    known = f", {count(len(step.benchmarks), 'file')} of known benchmark items" if step.benchmarks else ""
    return f"on, from a similarity of {step.similarity:g}, action {step.action!r}{known}" if step.on else _OFF


def _balance(record: DataRecord) -> str:
    step = record.data.refine.balance
    return f"on, fewer than {step.min_rows} rows or {step.ratio:g} times rarer" if step.on else _OFF


def _reviewed(record: DataRecord) -> str:
    return f"on, {record.data.refine.reviewed}" if record.data.refine.reviewed else f"{_OFF}: the brief names no table"


def _always(record: DataRecord) -> str:
    return "always on"


def _of_labels(setting: Setting) -> Setting:
    """Return the setting of a step that only a classification has."""
    return lambda record: setting(record) if record.task == "classify" else f"{_OFF}: for classify alone"


CHECKS: tuple[tuple[str, str, Setting], ...] = (
    ("read", "rows that could not be read", _always),
    ("encoding", "text that was decoded wrongly, characters that are no text", _encoding),
    ("text", "inputs that are empty or too long", _always),
    ("language", "texts in other languages", _language),
    ("toxic", "insults, slurs and the like", _acts("toxic")),
    ("references", "references that the task cannot use", _always),
    ("personal data", "personal data and secrets", _acts("personal_data")),
    ("reviewed", "what people decided of single rows", _reviewed),
    ("ids", "ids that several rows have", _always),
    ("labels", "spellings of one label, likely typing errors, labels that no training row has", _of_labels(_always)),
    ("conflicts", "one text with several labels", _of_labels(_always)),
    ("splits", "groups that are declared for two splits, splits that do not exist", _always),
    ("duplicates", "the same text again, but for case, space and punctuation", _always),
    ("near duplicates", "texts of one split that say almost the same", _near),
    ("contamination", "training texts that are almost the same as texts that judge", _contamination),
    ("outliers", "inputs far longer or shorter than the others", _acts("outliers")),
    ("planted rows", "rows that look planted: triggers, crowds, flips from one source", _acts("suspicious")),
    (
        "label errors",
        "labels that a model trained on other rows is confident are wrong",
        _of_labels(_acts("label_errors")),
    ),
    ("balance", "labels and slices with too few rows", _balance),
)
"""The steps of refining in the order in which rows meet them: the name that findings give, what they look for."""


def checks_section(record: DataRecord) -> Section:
    """Return every step with its setting and the rows it was about, also those that found nothing or were off."""
    by_step: dict[str, dict[str, int]] = {}
    for found in record.found:
        own = by_step.setdefault(found.finding.step, {})
        own[found.finding.fate] = own.get(found.finding.fate, 0) + found.finding.n_rows
    known = {step for step, _, _ in CHECKS}
    rows = [_check(step, about, setting(record), by_step.get(step, {})) for step, about, setting in CHECKS]
    rows += [_check(step, "", "on", found) for step, found in by_step.items() if step not in known]
    heads = (
        Column("Step"),
        Column("What it looks for"),
        Column("Setting"),
        Column("Noted", True),
        Column("Dropped", True),
        Column("Quarantined", True),
    )
    caption = "The steps of refining, in order, and how many rows each was about"
    return Section(
        key="checks", title="What was looked for", blocks=(Table(caption=caption, columns=heads, rows=tuple(rows)),)
    )


def _check(step: str, about: str, setting: str, found: dict[str, int]) -> Row:
    numbers = (Cell(count(found[fate]) if found.get(fate) else "0") for fate in ("kept", "dropped", "quarantined"))
    if setting.startswith(_OFF) and not found:
        numbers = (Cell("not looked for"), Cell(""), Cell(""))
    return Row(cells=(Cell(step), Cell(about), Cell(setting), *numbers))


def found_section(record: DataRecord) -> Section:
    """Return every finding, and rows of those that are about rows: where they come from, and their texts."""
    if not record.found:
        text = "Refining found nothing to remark on: every row was kept as it came."
        return Section(key="found", title="What was found", blocks=(Text(text=text),))
    rows = tuple(
        Row(
            cells=(
                Cell(found.finding.reason, note=found.finding.step),
                Cell(_FATES[found.finding.fate]),
                Cell(count(found.finding.n_rows) if found.finding.n_rows else ""),
                Cell(", ".join(found.finding.examples[:3])),
            )
        )
        for found in record.found
    )
    heads = (Column("Finding"), Column("Fate"), Column("Rows", True), Column("For example"))
    table = Table(caption="What refining found, in the order in which rows meet the steps", columns=heads, rows=rows)
    told = (
        "Texts are shortened, and personal data in them is masked whatever became of the row. Texts of guard rows are "
        "not shown."
    )
    examples = _examples([found for found in record.found if found.rows and found.finding.step not in _OF_NO_ROW])
    blocks: list[Block] = [table]
    if examples:
        blocks += [Text(lead="Rows to look at.", text=told), *examples]
    return Section(key="found", title="What was found", blocks=tuple(blocks))


_FATES = {"kept": "kept, noted", "dropped": "dropped", "quarantined": "quarantined"}


_OF_NO_ROW = ("balance",)
"""Steps whose findings are about labels and slices: their rows are any rows of those."""


def _examples(found: Sequence[FoundRows]) -> list[Block]:
    """Return one table a step: its findings' rows, each with its text."""
    steps = dict.fromkeys(each.finding.step for each in found)
    tables: list[Block] = []
    for step in steps:
        rows = tuple(
            Row(cells=(Cell(row.source), Cell(row.text or WITHHELD), _why(each, row)))
            for each in found
            if each.finding.step == step
            for row in each.rows
        )
        heads = (Column("Row"), Column("Text"), Column("Why"))
        tables.append(Table(caption=f"Rows found by {step}", columns=heads, rows=rows))
    return tables


def _why(found: FoundRows, row: ShownRow) -> Cell:
    """Return the finding's reason with the row's own detail: what another step did of it later is said as that."""
    if row.fate == found.finding.fate:
        return Cell(found.finding.reason, note=row.detail)
    return Cell(found.finding.reason, note=f"{row.fate} by another step: {row.detail}".rstrip(": "))
