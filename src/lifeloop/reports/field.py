"""The whole field of candidates, as sections: the leaderboard, its figures, narrow or broad, planned against actual.

Takes a record, gives blocks. Knows nothing of how the figures are drawn beyond the points it hands over.
"""

import math
from collections.abc import Callable

from lifeloop.core.candidates import Estimate
from lifeloop.core.evidence import Standing, Trial
from lifeloop.reports.blocks import Block, Cell, Column, Facts, Figure, Row, Section, Table, Text
from lifeloop.reports.contenders import contenders, direction_of, how_to_write, kind_of, metric_names, parts_of
from lifeloop.reports.evidence import metric_cell
from lifeloop.reports.lettered import forest_letters, quality_cost_letters
from lifeloop.reports.numbers import ABSENT, Amounts, count, duration, megabytes, milliseconds, times, usd
from lifeloop.reports.plot import forest, quality_cost
from lifeloop.reports.race import race_blocks
from lifeloop.reports.record import CycleRecord
from lifeloop.reports.scene import Mark, Scene, front
from lifeloop.reports.scope import narrow_or_broad
from lifeloop.reports.trade import trade_blocks
from lifeloop.reports.wording import confidence, metric_label

_WIDE, _NARROW = 820, 360
NOTHING = "—"
"""Stands where a failed candidate has no number."""
_NUMBERED = "A number before a name that had to be cut is its place in this list."


def leaderboard_section(record: CycleRecord) -> Section:
    """Return every candidate on the same validation examples: quality, failures, and what each takes."""
    amounts, board = how_to_write(record), record.leaderboard
    chosen = next((s.name for s in board.standings if s.candidate == board.challenger), record.verdict.challenger_name)
    why = f": {board.reason.strip().rstrip('.')}." if board.reason.strip() else "."
    blocks: list[Block] = [
        Text(
            text=f"All candidates answered the same validation examples; best first, by {metric_label(board.metric)}. "
            f"Intervals are at {confidence(record)} confidence."
        ),
        Text(lead="Challenger:", text=f"{chosen}{why}"),
        _quality(record, amounts),
        _expense(record),
        *race_blocks(record, amounts),
        *_remarks(record),
    ]
    failed = [standing for standing in board.standings if standing.trial is None]
    if failed:
        rows = tuple(Row(cells=(Cell(s.name), Cell(s.failure.strip() or "no reason was recorded"))) for s in failed)
        heads = (Column("Candidate"), Column("Reason"))
        blocks.append(Table(caption="Candidates that failed, and why", columns=heads, rows=rows))
    return Section(key="leaderboard", title="Leaderboard", blocks=tuple(blocks))


def _remarks(record: CycleRecord) -> list[Block]:
    """Return what metrics have to say beside their values: how well a judge agrees with people, say."""
    tried = [(standing.name, standing.trial) for standing in record.leaderboard.standings if standing.trial]
    items = tuple((name, " ".join(trial.remarks)) for name, trial in tried if trial.remarks)
    return [Facts(items=items)] if items else []


def _who(record: CycleRecord, standing: Standing) -> Cell:
    kind = kind_of(record.brief, standing.name)
    note = " · ".join(part for part in (kind if kind != standing.name else "", standing.note.strip()) if part)
    marks = () if standing.trial else ("failed",)
    if standing.eliminated:
        marks = ("stopped early",)
    return Cell(standing.name, note=note, badges=(*parts_of(record, standing.candidate), *marks))


def _row(record: CycleRecord, standing: Standing, *cells: Cell) -> Row:
    return Row(cells=(_who(record, standing), *cells), marked=standing.candidate == record.leaderboard.challenger)


def _quality(record: CycleRecord, amounts: Amounts) -> Table:
    names, primary = metric_names(record), record.leaderboard.metric
    if primary not in names:
        names = (primary, *names)
    rows = []
    for standing in record.leaderboard.standings:
        trial = standing.trial
        cells = []
        for name in names:
            value = trial.metric(name) if trial else None
            cells.append(metric_cell(value, amounts) if value else Cell(ABSENT if trial else NOTHING))
        items = f"{trial.n_failed:,} of {count(trial.n_items, 'item')}" if trial else NOTHING
        rows.append(_row(record, standing, *cells, Cell(items)))
    heads = (Column("Candidate"), *(Column(metric_label(name), True) for name in names), Column("Failed items", True))
    return Table(caption="Quality on validation examples", columns=heads, rows=tuple(rows))


def _expense(record: CycleRecord) -> Table:
    rows = []
    for standing in record.leaderboard.standings:
        making = record.build_seconds.get(standing.name)
        made = Cell(duration(making) if making is not None else ABSENT if standing.trial else NOTHING)
        if standing.trial is None:
            rows.append(_row(record, standing, *[Cell(NOTHING)] * 5, made))
            continue
        found = standing.trial.measurements
        rows.append(
            _row(
                record,
                standing,
                Cell(milliseconds(found.p50_ms)),
                Cell(milliseconds(found.p95_ms)),
                Cell(megabytes(found.memory_mb)),
                _tokens(standing.trial),
                Cell(usd(found.usd_per_1000)),
                made,
            )
        )
    heads = (
        Column("Candidate"),
        Column("p50 latency", True),
        Column("p95 latency", True),
        Column("Memory", True),
        Column("Tokens in, out", True),
        Column("Cost of 1,000 requests", True),
        Column("Making it took", True),
    )
    return Table(caption="Speed, memory and money", columns=heads, rows=tuple(rows))


def _tokens(trial: Trial) -> Cell:
    found = trial.measurements
    if not (found.tokens_in or found.tokens_out):
        return Cell("0 tokens")
    each = ""
    if trial.n_items:
        each = f"{found.tokens_in / trial.n_items:,.0f} in, {found.tokens_out / trial.n_items:,.0f} out a request"
    return Cell(f"{found.tokens_in:,} in, {found.tokens_out:,} out", note=each)


def figures_section(record: CycleRecord) -> Section:
    """Return quality against cost, and the intervals of all candidates side by side."""
    scene = _scene(record)
    if not scene.marks:
        text = f"No candidate has a measured {metric_label(record.leaderboard.metric)}, so there is nothing to draw."
        return Section(key="figures", title="Quality against cost", blocks=(Text(text=text),))
    priced = [mark for mark in scene.marks if math.isfinite(mark.cost)]
    left = [mark.name for mark in scene.marks if not math.isfinite(mark.cost)]
    blocks: list[Block] = []
    if priced:
        best = [mark.name for mark in front(scene.marks, scene.direction)]
        goal = "higher" if scene.direction == "max" else "lower"
        text = (
            f"The {goal} and the further left, the better. Best for the cost, so that no other is better for the same "
            f"money or less: {', '.join(best)}."
        )
        blocks.append(
            Figure(
                title=f"{scene.label} against the cost of 1,000 requests",
                caption=text,
                wide=quality_cost(scene, _WIDE),
                narrow=quality_cost(scene, _NARROW),
                letters=quality_cost_letters(scene),
            )
        )
    if left:
        blocks.append(Text(lead="Not drawn against cost, for want of a measured one:", text=f"{', '.join(left)}."))
    blocks.append(
        Figure(
            title=f"{scene.label} of every candidate with its interval",
            caption=f"Bars that do not overlap are clearly different. {confidence(record)} confidence. {_NUMBERED}",
            wide=forest(scene, _WIDE),
            narrow=forest(scene, _NARROW),
            letters=forest_letters(scene),
        )
    )
    return Section(key="figures", title="Quality against cost", blocks=tuple(blocks))


def _scene(record: CycleRecord) -> Scene:
    amounts, metric = how_to_write(record), record.leaderboard.metric
    marks = tuple(
        Mark(
            name=contender.name,
            cost=contender.trial.measurements.usd_per_1000,
            value=contender.quality.value,
            low=contender.quality.low,
            high=contender.quality.high,
            parts=parts_of(record, contender.standing.candidate),
        )
        for contender in contenders(record)
    )
    primary = record.brief.primary
    return Scene(
        label=metric_label(metric),
        marks=marks,
        direction=direction_of(record, metric),
        target=primary.target if primary.metric == metric else None,
        written=lambda value: amounts.value(metric, value),
        share=metric in amounts.shares,
    )


def scope_section(record: CycleRecord) -> Section:
    """Return whether a narrow specialist or a broad model serves this use case better."""
    return Section(key="scope", title="Narrow or broad?", blocks=(narrow_or_broad(record), *trade_blocks(record)))


def plan_section(record: CycleRecord) -> Section:
    """Return what the plan expected of each candidate against what was measured."""
    rows = []
    for standing in record.leaderboard.standings:
        plan = record.estimates.get(standing.name)
        if plan is None:
            rows.append(_row(record, standing, *[Cell("not planned")] * 4))
            continue
        found = standing.trial.measurements if standing.trial else None
        made = record.build_seconds.get(standing.name)
        rows.append(
            _row(
                record,
                standing,
                _both(plan.memory_gb * 1024, found.memory_mb if found else math.nan, megabytes),
                _both(plan.build_seconds, math.nan if made is None else made, duration),
                _both(plan.seconds_per_item * 1000, found.p50_ms if found else math.nan, milliseconds),
                _both(_planned_usd(record, plan), found.usd_per_1000 if found else math.nan, usd),
            )
        )
    heads = (
        Column("Candidate"),
        Column("Memory", True),
        Column("Making", True),
        Column("Median latency", True),
        Column("Cost of 1,000 requests", True),
    )
    caption = "Measured, with what was planned and by what factor it was off"
    blocks: tuple[Block, ...] = (
        Text(text=_spent(record)),
        Table(caption=caption, columns=heads, rows=tuple(rows)),
    )
    bases = dict.fromkeys(plan.basis for plan in record.estimates.values() if plan.basis)
    if bases:
        blocks += (Text(lead="What the plan rests on:", text=f"{'; '.join(bases)}."),)
    return Section(key="plan", title="Planned against actual", blocks=blocks)


def _planned_usd(record: CycleRecord, plan: Estimate) -> float:
    """Return the planned cost of a thousand requests: the endpoint's, and this machine's for as long as they take."""
    return 1000 * (plan.usd_per_item + plan.seconds_per_item * record.brief.budget.usd_per_hour / 3600)


def _both(planned: float, actual: float, written: Callable[[float], str]) -> Cell:
    note = f"planned {written(planned)}"
    if math.isfinite(actual) and min(planned, actual) > 0:
        factor = max(planned, actual) / min(planned, actual)
        if factor >= 1.1:
            note += f", {times(factor)} {'more' if actual > planned else 'less'}"
    return Cell(written(actual), note=note)


def _spent(record: CycleRecord) -> str:
    trials = [standing.trial.measurements.seconds for standing in record.leaderboard.standings if standing.trial]
    spent = sum(second for second in (*record.build_seconds.values(), *trials) if math.isfinite(second))
    return (
        f"Making the candidates and trying them on validation took {duration(spent)} in all; the budget of a cycle is "
        f"{record.brief.budget.minutes:g} minutes."
    )
