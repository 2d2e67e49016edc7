"""The report as GitHub Markdown: the same blocks as the HTML page, with figures in letters.

Takes a document, or a cycle's record whose document it asks for, and gives text; knows only how Markdown writes it.
"""

import re

from lifeloop.reports.blocks import Block, Cell, Document, Facts, Figure, Quote, Section, Table, Text, Tile, Tiles
from lifeloop.reports.document import document
from lifeloop.reports.letters import one_line, printable
from lifeloop.reports.record import CycleRecord

_SIGNS = {"good": "✅", "bad": "❌", "open": "⏳", "": ""}
_SPECIAL = re.compile(r"[\\`*\[\]<>|~$]|&(?=[#\w]+;)|(?<!\w)_|_(?!\w)")
_LIST_START = re.compile(r"^(\d*)([-+=.)])(?=\s|$|[-+=])")


def render_markdown(record: CycleRecord) -> str:
    """Return the whole report of a cycle as GitHub Markdown."""
    return markdown_page(document(record))


def markdown_page(page: Document) -> str:
    """Return a document as GitHub Markdown."""
    parts = [
        f"# {escape_markdown(page.title)}",
        f"{_SIGNS[page.tone]} **{escape_markdown(page.sentence)}**".lstrip(),
        escape_markdown(page.about),
        *(part for section in page.sections for part in _section(section)),
    ]
    return "\n\n".join(parts) + "\n"


def escape_markdown(text: str) -> str:
    """Return the text on one line so that Markdown shows it as it is.

    An underscore within a word, as in `macro_f1`, means nothing to Markdown and stays.
    """
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", one_line(text))


def _section(section: Section) -> list[str]:
    return [f"## {escape_markdown(section.title)}", *(_block(block) for block in section.blocks)]


def _block(block: Block) -> str:
    match block:
        case Text():
            lead = f"**{escape_markdown(block.lead)}** " if block.lead else ""
            return lead + _start(escape_markdown(block.text))
        case Quote():
            lines = printable(block.text).splitlines()
            return "\n".join(f"> {_start(escape_markdown(line))}".rstrip() for line in lines)
        case Facts():
            return "\n".join(f"- **{escape_markdown(term)}:** {escape_markdown(fact)}" for term, fact in block.items)
        case Tiles():
            return "\n".join(_tile(tile) for tile in block.tiles)
        case Table():
            return _table(block)
        case Figure():
            return _figure(block)


def _start(line: str) -> str:
    """Return a line so that its beginning makes no list and no heading of it."""
    return _LIST_START.sub(r"\1\\\2", line)


def _tile(tile: Tile) -> str:
    note = f" ({escape_markdown(tile.note)})" if tile.note else ""
    return f"- {escape_markdown(tile.label)}: **{escape_markdown(tile.value)}**{note}"


def _table(table: Table) -> str:
    heads = [escape_markdown(column.title) for column in table.columns]
    rules = ["---:" if column.numeric else ":---" for column in table.columns]
    rows = [[_cell(cell) for cell in row.cells] for row in table.rows]
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, rules, *rows)]
    return "\n".join([f"**{escape_markdown(table.caption)}**", "", *lines])


def _cell(cell: Cell) -> str:
    text = escape_markdown(cell.text)
    badges = "".join(f" **{escape_markdown(badge)}**" for badge in cell.badges)
    note = f" ({escape_markdown(cell.note)})" if cell.note else ""
    sign = f"{_SIGNS[cell.tone]} " if cell.tone else ""
    return f"{sign}{text}{badges}{note}"


def _figure(figure: Figure) -> str:
    letters = printable(figure.letters)
    runs = [len(run) for run in re.findall(r"`+", letters)]
    fence = "`" * max(3, 1 + max(runs, default=0))
    head = f"**{escape_markdown(figure.title)}**\n\n{escape_markdown(figure.caption)}"
    return f"{head}\n\n{fence}text\n{letters}\n{fence}"
