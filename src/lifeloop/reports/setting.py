"""What a cycle stood on, as sections: the brief, the data, what was observed before, and the lineage.

Takes a record, gives blocks. Knows nothing of candidates' results, of HTML or of Markdown.
"""

from collections.abc import Mapping, Sequence

from lifeloop.core.brief import Objective
from lifeloop.core.content import short
from lifeloop.core.data import SPLITS, Finding
from lifeloop.core.events import ProductionSummary
from lifeloop.reports.blocks import Block, Cell, Column, Facts, Quote, Row, Section, Table, Text
from lifeloop.reports.contenders import direction_of, how_to_write
from lifeloop.reports.numbers import Amounts, count, milliseconds, percent, usd
from lifeloop.reports.record import CycleRecord
from lifeloop.reports.wording import bound, margin_of, metric_label

_MAX_LABELS = 60
_MAX_OUTPUTS = 20
_SCOPES = {
    "auto": "open: the evidence decides between a narrow specialist and a broad model",
    "narrow": "narrow: a specialist for this task",
    "broad": "broad: a model for many tasks",
}
_SPLIT_USES = {
    "train": "to make candidates",
    "validation": "to compare candidates and to choose the challenger",
    "test": "to judge the challenger at the gate",
    "guard": "a reserve that no making or choosing ever reads",
}


def brief_section(record: CycleRecord) -> Section:
    """Return what the people who have the problem asked for."""
    brief, amounts = record.brief, how_to_write(record)
    blocks: list[Block] = []
    if brief.project.problem.strip():
        blocks.append(Quote(text=brief.project.problem.strip()))
    goals = tuple(
        (f"Objective {index}", _goal(record, objective, amounts)) for index, objective in enumerate(brief.objectives, 1)
    )
    budget = brief.budget
    spend = (
        f"{budget.minutes:g} minutes, {usd(budget.usd)} for remote endpoints, {budget.memory_gb:g} GB of memory; "
        f"this machine costs {usd(budget.usd_per_hour)} an hour"
    )
    blocks.append(
        Facts(
            items=(
                ("Project", brief.project.name),
                ("Task", brief.project.task),
                ("Scope", _SCOPES[brief.project.scope]),
                *goals,
                ("Budget of a cycle", spend),
            )
        )
    )
    return Section(key="brief", title="The brief", blocks=tuple(blocks))


def _goal(record: CycleRecord, objective: Objective, amounts: Amounts) -> str:
    parts = []
    if objective.target is not None:
        target = amounts.value(objective.metric, objective.target)
        parts.append(f"{bound(direction_of(record, objective.metric))} {target}")
    if objective.guard:
        parts.append(f"may not get worse by more than {margin_of(amounts, objective)}")
    return f"{metric_label(objective.metric)}: {'; '.join(parts) or 'no target'}"


def data_section(record: CycleRecord) -> Section:
    """Return the splits, the labels, what refining found, and what was learned from feedback."""
    dataset, learned = record.dataset, record.n_learned
    feedback = (
        f"{count(learned, 'row')} of it {'was' if learned == 1 else 'were'} learned from feedback."
        if learned
        else "None of it was learned from feedback."
    )
    blocks: list[Block] = [
        Text(text=f"{count(dataset.n_examples, 'example')} in dataset {short(record.dataset_id)}. {feedback}"),
        splits_table(dataset.counts),
    ]
    if dataset.labels:
        blocks.append(Text(lead=f"{count(len(dataset.labels), 'label')}.", text=listed(dataset.labels)))
    blocks.append(_findings(dataset.findings))
    return Section(key="data", title="Data", blocks=tuple(blocks))


def splits_table(counts: Mapping[str, int]) -> Table:
    """Return how many examples each split has, and what it is for."""
    total = sum(counts.values())
    named = [*SPLITS, *sorted(set(counts) - set(SPLITS))]
    rows = [
        Row(
            cells=(
                Cell(split),
                Cell(count(counts.get(split, 0), "example")),
                Cell(percent(counts.get(split, 0) / total) if total else "none"),
                Cell(_SPLIT_USES.get(split, "")),
            )
        )
        for split in named
    ]
    heads = (Column("Split"), Column("Examples", True), Column("Share", True), Column("Used"))
    return Table(caption="Splits", columns=heads, rows=tuple(rows))


def listed(labels: Sequence[str]) -> str:
    """Return labels one after the other, the first sixty of them."""
    left = len(labels) - _MAX_LABELS
    more = f", and {left:,} more" if left > 0 else ""
    return f"{', '.join(labels[:_MAX_LABELS])}{more}"


def _findings(findings: Sequence[Finding]) -> Table | Text:
    if not findings:
        return Text(text="Refining found nothing to remark on: every row was kept as it came.")
    rows = tuple(
        Row(
            cells=(
                Cell(finding.step),
                Cell(finding.reason),
                Cell(finding.fate),
                Cell(count(finding.n_rows, "row")),
                Cell(", ".join(finding.examples) or "none given"),
            )
        )
        for finding in findings
    )
    heads = (Column("Step"), Column("Reason"), Column("Fate"), Column("Rows", True), Column("For example"))
    return Table(caption="What refining found", columns=heads, rows=rows)


def production_section(record: CycleRecord) -> Section:
    """Return what was observed in production before this cycle."""
    seen = record.production
    if seen is None or seen.n_events == 0:
        blocks: tuple[Block, ...] = (Text(text="Nothing had been served before this cycle, so nothing was observed."),)
        return Section(key="production", title="Observed in production before", blocks=blocks)
    listed = [Facts(items=_observed(seen))]
    outputs = sorted(seen.shares.items(), key=lambda pair: (-pair[1], pair[0]))
    tables = []
    if outputs:
        left = len(outputs) - _MAX_OUTPUTS
        more = f", the {_MAX_OUTPUTS} commonest of {len(outputs)}" if left > 0 else ""
        rows = tuple(Row(cells=(Cell(name), Cell(percent(share)))) for name, share in outputs[:_MAX_OUTPUTS])
        heads = (Column("Output"), Column("Share of requests", True))
        tables.append(Table(caption=f"What was answered{more}", columns=heads, rows=rows))
    return Section(key="production", title="Observed in production before", blocks=(*listed, *tables))


def _observed(seen: ProductionSummary) -> tuple[tuple[str, str], ...]:
    agreeing = (
        f"{seen.n_agreeing:,} agree with the answer given ({percent(seen.n_agreeing / seen.n_feedback)})"
        if seen.n_feedback
        else "none yet"
    )
    return (
        ("Requests", count(seen.n_events, "request")),
        ("Errors", f"{count(seen.n_errors, 'request')} ({percent(seen.n_errors / seen.n_events)})"),
        (
            "Answered by a fallback",
            f"{count(seen.n_fallbacks, 'request')} ({percent(seen.n_fallbacks / seen.n_events)})",
        ),
        ("Latency", f"median {milliseconds(seen.p50_ms)}, p95 {milliseconds(seen.p95_ms)}"),
        ("Cost of 1,000 requests", usd(seen.usd_per_1000)),
        ("Feedback", f"{count(seen.n_feedback, 'person’s label', 'labels from people')}: {agreeing}"),
    )


def lineage_section(record: CycleRecord) -> Section:
    """Return the way from production back to the brief, and the release itself."""
    blocks: list[Block] = []
    release = record.release
    if release:
        fallback = ", ".join(_named(record, identifier) for identifier in release.fallback) or "none"
        blocks.append(
            Facts(
                items=(
                    ("In production", f"{release.name}, candidate {short(release.candidate)}"),
                    ("Fallback", f"{fallback}; a request may take {release.timeout_seconds:g} s before it answers"),
                    ("Replaces", f"release {short(release.replaces)}" if release.replaces else "nothing: the first"),
                )
            )
        )
    else:
        blocks.append(Text(text="This cycle put nothing in production; the way leads from the verdict to the brief."))
    if record.lineage:
        rows = tuple(Row(cells=(Cell(step.what), Cell(short(step.id)), Cell(step.about))) for step in record.lineage)
        heads = (Column("Step"), Column("Id"), Column("About"))
        blocks.append(Table(caption="From production back to the brief", columns=heads, rows=rows))
    return Section(key="lineage", title="Lineage", blocks=tuple(blocks))


def _named(record: CycleRecord, candidate: str) -> str:
    for standing in record.leaderboard.standings:
        if standing.candidate == candidate:
            return standing.name
    return short(candidate)
