"""The report as one HTML file: nothing is fetched, no script runs; for light and dark, paper and phone.

Takes a document, or a cycle's record whose document it asks for, and gives text; knows only how it looks.
"""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from lifeloop.reports.blocks import Document
from lifeloop.reports.document import document
from lifeloop.reports.letters import printable
from lifeloop.reports.record import CycleRecord


def render_html(record: CycleRecord) -> str:
    """Return the whole report of a cycle as one HTML page."""
    return html_page(document(record))


def html_page(page: Document) -> str:
    """Return a document as one HTML page."""
    return _template().render(document=page)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("lifeloop.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_finalize,
    )
    # Figures are our own SVG, whose texts plot.py has escaped; everything else goes through autoescape.
    environment.filters["drawn"] = Markup
    return environment.get_template("report.html.j2")


def _finalize(value: object) -> object:
    """Return what a page may hold: texts of the outside may carry characters that no HTML allows."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
