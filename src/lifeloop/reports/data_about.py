"""What a version of the data is and where it comes from, as sections of its card.

Takes a record, gives blocks. Knows nothing of HTML or Markdown.
"""

from collections.abc import Sequence

from lifeloop.core.content import short
from lifeloop.reports.blocks import Block, Cell, Column, Facts, Quote, Row, Section, Table, Text
from lifeloop.reports.data_record import DataRecord, Origin
from lifeloop.reports.numbers import count

MISSING = "not filled in"

_KINDS = {"source": "", "feedback": "what users said", "synthetic": "written by a model; only ever trains"}
_TASKS = {
    "classify": "classify: one label a text",
    "extract": "extract: the entities of a text",
    "generate": "generate: an answer to a text",
    "chat": "chat: the next message of a conversation",
}


def about_section(record: DataRecord) -> Section:
    """Return what only people can say of the data, and plainly what they have not said yet."""
    about = record.about
    said = (
        ("description", "Description", about.description),
        ("licence", "Licence", about.licence),
        ("attribution", "Attribution", about.attribution),
        ("homepage", "Homepage", about.homepage),
        ("collected", "Collected", about.collected),
        ("consent", "Consent", about.consent),
        ("contact", "Contact", about.contact),
    )
    blocks: list[Block] = []
    if record.problem.strip():
        blocks.append(Quote(text=record.problem.strip()))
    task = (("Task", _TASKS.get(record.task, record.task)),)
    blocks.append(Facts(items=(*task, *((title, text.strip() or MISSING) for _, title, text in said))))
    if missing := [key for key, _, text in said if not text.strip()]:
        first, many = missing[0], len(missing) > 1
        blocks.append(
            Text(
                lead=f"{len(missing)} of {len(said)} fields {'are' if many else 'is'} not filled in:",
                text=f"{', '.join(missing)}. No program can find them out. Write them in lifeloop.toml under "
                f'[data.about], as in {first} = "…", and build the data again.',
            )
        )
    return Section(key="about", title="What it is", blocks=tuple(blocks))


def origins_section(record: DataRecord) -> Section:
    """Return where rows come from, with what became of those of each source, and what was done about personal data."""
    by_kind = {kind: sum(o.n_rows for o in record.origins if o.kind == kind) for kind in ("feedback", "synthetic")}
    feedback, synthetic = (_none(by_kind[kind]) for kind in ("feedback", "synthetic"))
    told = (
        f"{feedback} from feedback of users, {synthetic} written by a model. Synthetic rows are marked as such for "
        "ever and never leave the training split."
    )
    blocks = (_origins(record.origins), Text(text=told[:1].upper() + told[1:]), Facts(items=_read(record)))
    return Section(key="origins", title="Where it comes from", blocks=blocks)


def _none(n: int) -> str:
    return count(n, "row") if n else "no row"


def _origins(origins: Sequence[Origin]) -> Table:
    rows = tuple(
        Row(
            cells=(
                Cell(origin.name, note=_KINDS[origin.kind]),
                Cell(count(origin.n_rows)),
                *(Cell(count(origin.fates.get(fate, 0))) for fate in ("kept", "dropped", "quarantined")),
                Cell(short(origin.fingerprint) if origin.fingerprint else "in the ledger"),
            )
        )
        for origin in origins
    )
    heads = (
        Column("Source"),
        Column("Rows", True),
        Column("Kept", True),
        Column("Dropped", True),
        Column("Quarantined", True),
        Column("Fingerprint"),
    )
    return Table(caption="Sources, and what became of their rows", columns=heads, rows=rows)


def _read(record: DataRecord) -> tuple[tuple[str, str], ...]:
    """Return how a row was read."""
    data, personal = record.data, record.data.refine.personal_data
    columns = f"in: {data.input!r}, out: {data.reference!r}"
    for name in ("id", "group", "split"):
        if column := getattr(data, name):
            columns += f", {name}: {column!r}"
    masks = {
        "mask": f"masked: {', '.join(personal.kinds)}",
        "quarantine": f"rows with any are quarantined: {', '.join(personal.kinds)}",
        "report": f"reported and left as it is: {', '.join(personal.kinds)}",
    }[personal.action]
    if not personal.on:
        masks = "not looked for: the step is off in the brief"
    elif personal.action == "mask":
        masks += (
            ". Reversibly: who has the key can undo it (lifeloop data unmask)"
            if record.n_reversible
            else ". For good: no key was set"
        )
    facts = [("Columns", columns), ("Personal data", masks)]
    if data.query:
        facts.append(("Query", data.query))
    if record.data.synthesis.model:
        facts.append(("Synthetic rows by", record.data.synthesis.model))
    return tuple(facts)
