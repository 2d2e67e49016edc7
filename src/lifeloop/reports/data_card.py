"""From a version of the data to its card: the sections in the order in which somebody asks whether to trust it.

Takes a record, gives blocks of text that is ready to be read. Knows nothing of HTML or Markdown.
"""

from lifeloop.core.content import short
from lifeloop.reports.blocks import Document, Facts, Section
from lifeloop.reports.data_about import about_section, origins_section
from lifeloop.reports.data_changes import changes_section
from lifeloop.reports.data_contents import contents_section, splits_section
from lifeloop.reports.data_found import checks_section, found_section
from lifeloop.reports.data_record import DataRecord
from lifeloop.reports.data_rows import n_lost, rows_section
from lifeloop.reports.numbers import count, moment, percent

_WORDS = (
    ("Row, example", "A row is what a source gives. A row that was kept is an example."),
    ("Fate", "What became of a row: kept, dropped (a repeat, or a leak) or quarantined (people should look at it)."),
    ("Split", "Where an example is used: train, validation, test or guard. It stays in the first split it was given."),
    ("Group", "Rows that belong together: by a column of the data, or else because they have the same text."),
    ("Part", "Up to 20,000 rows of one source. Versions share the parts that did not change."),
    ("Near duplicates", "Texts that say almost the same: their shared pieces are a large share of all their pieces."),
    ("Contamination", "A training text that is almost the same as one that judges: it makes candidates look better."),
    ("Label error", "A label of which a model that was trained on other rows is confident that it is another one."),
    ("Planted rows", "Rows that look as if somebody put them there to teach a model something."),
    ("Fingerprint", "Changes whenever the rows of the source do."),
)


def data_document(record: DataRecord) -> Document:
    """Return the card of a version: what it is first, then where it comes from and what became of every row."""
    version = record.version
    return Document(
        title=f"{record.project}: data {short(version.id)}",
        about=(
            f"Version {version.number} of the data, made in cycle {version.cycle}, {moment(version.at)}. "
            f"Its id is the hash of its content: {version.id}."
        ),
        sentence=_sentence(record),
        tone="",
        sections=(
            about_section(record),
            origins_section(record),
            rows_section(record),
            checks_section(record),
            found_section(record),
            splits_section(record),
            contents_section(record),
            changes_section(record),
            Section(key="words", title="Words used here", blocks=(Facts(items=_WORDS),)),
        ),
    )


def _sentence(record: DataRecord) -> str:
    version = record.version
    dropped, quarantined = (n_lost(record, fate) for fate in ("dropped", "quarantined"))
    lost = "every row was kept"
    if dropped or quarantined:
        of_them = f" ({percent(version.n_kept / version.n_raw)})" if version.n_raw else ""
        lost = f"{count(version.n_kept)} were kept{of_them}, {count(dropped)} dropped, {count(quarantined)} quarantined"
    return f"{count(version.n_raw, 'row')} came; {lost}; each row has its fate and its reason."
