"""What a report is made of, before it is HTML or Markdown: sections of texts, tables, tiles and figures.

Every cell is text that is ready to be read. The two renderers walk the same blocks, so they cannot disagree; they
know nothing of records, and the sections know nothing of HTML or Markdown.
"""

from typing import ClassVar, Literal

from msgspec import Struct

Tone = Literal["", "good", "bad", "open"]
"""How a cell is coloured: good news, bad news, or not known yet. Never the only carrier of its meaning."""


class Cell(Struct, frozen=True):
    """One cell of a table."""

    text: str
    note: str = ""
    """Said in smaller letters after it: an interval, say."""
    tone: Tone = ""
    badges: tuple[str, ...] = ()
    """Short marks such as `challenger`."""


class Column(Struct, frozen=True):
    """The head of a column."""

    title: str
    numeric: bool = False


class Row(Struct, frozen=True):
    """One row of a table."""

    cells: tuple[Cell, ...]
    marked: bool = False
    """Whether the eye should find it first."""


class Table(Struct, frozen=True):
    """A table; a row has one cell a column."""

    shape: ClassVar[str] = "table"
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


class Text(Struct, frozen=True):
    """A paragraph."""

    shape: ClassVar[str] = "text"
    text: str
    lead: str = ""
    """Words in bold at its start."""


class Quote(Struct, frozen=True):
    """Words of the people who wrote the brief."""

    shape: ClassVar[str] = "quote"
    text: str


class Facts(Struct, frozen=True):
    """A list of terms, each with what is to be known of it."""

    shape: ClassVar[str] = "facts"
    items: tuple[tuple[str, str], ...]


class Tile(Struct, frozen=True):
    """One number that matters most."""

    label: str
    value: str
    note: str = ""
    tone: Tone = ""


class Tiles(Struct, frozen=True):
    """A row of the numbers that matter most."""

    shape: ClassVar[str] = "tiles"
    tiles: tuple[Tile, ...]


class Figure(Struct, frozen=True):
    """A picture, drawn for a wide page and for a narrow one, and in letters for where there are no pictures."""

    shape: ClassVar[str] = "figure"
    title: str
    caption: str
    wide: str
    """SVG."""
    narrow: str
    """SVG."""
    letters: str
    """Lines of equal-width text that show the same."""


Block = Table | Text | Quote | Facts | Tiles | Figure


class Section(Struct, frozen=True):
    """A part of the report under a heading."""

    key: str
    """Its anchor."""
    title: str
    blocks: tuple[Block, ...]


class Document(Struct, frozen=True):
    """A whole report."""

    title: str
    about: str
    """Which cycle, when, and the id of what it is about."""
    sentence: str
    """What it comes to, in one sentence: the verdict, say."""
    tone: Tone
    sections: tuple[Section, ...]
