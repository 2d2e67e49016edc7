"""The verdict and the evidence at the gate, as sections: what was decided, and the numbers it rests on.

Takes a record, gives blocks. Knows nothing of HTML or Markdown.
"""

import math

from lifeloop.core.evidence import OPERATIONAL, Comparison, MetricValue, ObjectiveResult, Trial
from lifeloop.reports.blocks import Block, Cell, Column, Row, Section, Table, Text, Tile, Tiles, Tone
from lifeloop.reports.contenders import champion_name, champion_word, direction_of, gate_trial, how_to_write
from lifeloop.reports.numbers import ABSENT, Amounts, count, probability, usd
from lifeloop.reports.record import CycleRecord
from lifeloop.reports.sentence import main_comparison, oriented
from lifeloop.reports.wording import (
    STATE_TONES,
    confidence,
    held_against,
    margin_of,
    metric_label,
    more_examples,
)

_DECISIONS = {"promote": "promoted", "reject": "rejected", "undecided": "undecided: not enough evidence"}
_MAX_SLICES = 40


def verdict_section(record: CycleRecord) -> Section:
    """Return the decision, the numbers that matter most, the objectives and the guards."""
    verdict, amounts = record.verdict, how_to_write(record)
    rival = champion_word(record)
    if verdict.challenger == verdict.champion:
        who = f"{verdict.challenger_name} was held against the brief alone: it is the {rival} itself"
    else:
        who = f"{verdict.challenger_name} (the challenger) was held against {verdict.champion_name} (the {rival})"
    blocks: list[Block] = [Tiles(tiles=_tiles(record, amounts))]
    blocks.append(Text(lead=f"{_DECISIONS[verdict.decision].capitalize()}.", text=f"{who}."))
    if verdict.reason.strip():
        blocks.append(Text(lead="In the gate's own words:", text=f"{verdict.reason.strip().rstrip('.')}."))
    if verdict.objectives:
        rows = tuple(_objective_row(result, amounts) for result in verdict.objectives)
        heads = (Column("Metric"), Column("Target", True), Column("Value", True), Column("Interval"), Column("State"))
        blocks.append(Table(caption="Objectives: what the brief asks, on test examples", columns=heads, rows=rows))
    else:
        blocks.append(Text(text="The gate recorded no objective with a target."))
    if verdict.guards:
        rows = tuple(_guard_row(record, result, amounts) for result in verdict.guards)
        heads = (
            Column("Metric"),
            Column("May be worse by", True),
            Column("Difference", True),
            Column("Interval of the difference"),
            Column("State"),
        )
        blocks.append(
            Table(caption=f"Guards: what may not get worse than with {champion_name(record)}", columns=heads, rows=rows)
        )
    if further := more_examples(record):
        blocks.append(Text(lead="Further examples needed.", text=further))
    return Section(key="verdict", title="Verdict", blocks=tuple(blocks))


def evidence_section(record: CycleRecord) -> Section:
    """Return the challenger against the champion: the comparisons, every set of examples, and the slices."""
    amounts, rival = how_to_write(record), champion_word(record)
    blocks: list[Block] = []
    if record.verdict.comparisons:
        blocks.append(
            Text(
                text=f"Both answered the same examples. An interval of the difference that holds zero leaves open "
                f"who is better. Intervals are at {confidence(record)} confidence."
            )
        )
        blocks.append(_comparisons(record, amounts))
    else:
        blocks.append(Text(text=f"The gate compared nothing: there is no test of the challenger against the {rival}."))
    if record.trials:
        blocks.append(_sets(record, amounts))
    blocks += _slices(record, amounts)
    return Section(key="evidence", title="Evidence at the gate", blocks=tuple(blocks))


def _tiles(record: CycleRecord, amounts: Amounts) -> tuple[Tile, ...]:
    verdict, tiles = record.verdict, []
    for result in verdict.objectives[:1]:
        value, target = held_against(amounts, result)
        note = f"asked: {target}" if target else result.state
        tiles.append(Tile(f"{metric_label(result.metric)}, on test", value, note, STATE_TONES[result.state]))
    primary = main_comparison(record)
    if primary and verdict.challenger != verdict.champion:
        interval = amounts.difference_interval(primary.metric, primary.low, primary.high)
        tiles.append(
            Tile(
                f"against {champion_name(record)}, {metric_label(primary.metric)}",
                amounts.difference(primary.metric, primary.difference),
                interval,
                _comparison_tone(record, primary),
            )
        )
    tiles.append(Tile("cost of 1,000 requests", usd(verdict.usd_per_1000[0]), _cost_note(record)))
    trial = gate_trial(record, verdict.challenger, "test", "clean")
    if trial and verdict.more_examples <= 0:
        p95 = amounts.value("p95_ms", trial.measurements.p95_ms)
        tiles.append(Tile("p95 latency", p95, "95 of 100 answers are faster"))
    if verdict.more_examples > 0:
        tiles.append(Tile("further test examples", count(verdict.more_examples), "would decide it", "open"))
    return tuple(tiles)


def _cost_note(record: CycleRecord) -> str:
    if record.verdict.challenger == record.verdict.champion:
        return ""
    return f"{champion_name(record)}: {usd(record.verdict.usd_per_1000[1])}"


def _objective_row(result: ObjectiveResult, amounts: Amounts) -> Row:
    value, target = held_against(amounts, result)
    interval = amounts.interval(result.metric, result.low, result.high)
    return Row(
        cells=(
            Cell(metric_label(result.metric)),
            Cell(target or "none"),
            Cell(value),
            Cell(interval or _no_interval(result)),
            _state(result),
        )
    )


def _guard_row(record: CycleRecord, result: ObjectiveResult, amounts: Amounts) -> Row:
    """Return a guard: how the challenger differs from the champion, and how much worse it may be."""
    objective = next((o for o in record.brief.objectives if o.metric == result.metric), None)
    examples = next((c.split for c in record.verdict.comparisons if _is_of(c, result)), "test")
    better = "more" if result.direction == "max" else "less"
    interval = amounts.difference_interval(result.metric, result.low, result.high)
    return Row(
        cells=(
            Cell(metric_label(result.metric), note=f"{better} is better, {examples} examples"),
            Cell(margin_of(amounts, objective) if objective else ABSENT),
            Cell(amounts.difference(result.metric, result.value)),
            Cell(interval if result.low != result.high and interval else _no_interval(result)),
            _state(result),
        )
    )


def _is_of(comparison: Comparison, result: ObjectiveResult) -> bool:
    """Return whether a guard was held against this comparison; the gate names the difference, not the split."""
    ours = (comparison.metric, comparison.difference, comparison.low, comparison.high)
    return comparison.suite == "clean" and ours == (result.metric, result.value, result.low, result.high)


def _no_interval(result: ObjectiveResult) -> str:
    return "measured, so without one" if result.metric in OPERATIONAL and math.isfinite(result.value) else "not known"


def _state(result: ObjectiveResult) -> Cell:
    note = f"{count(result.more_examples, 'further example')} needed" if result.more_examples > 0 else ""
    return Cell(result.state, note=note, tone=STATE_TONES[result.state])


def _comparison_tone(record: CycleRecord, comparison: Comparison) -> Tone:
    """Return good or bad news where the interval of the difference leaves zero out."""
    low, high = oriented(record, comparison)
    return "good" if low > 0 else "bad" if high < 0 else "open"


def _comparisons(record: CycleRecord, amounts: Amounts) -> Table:
    rows = []
    for comparison in record.verdict.comparisons:
        metric = comparison.metric
        rows.append(
            Row(
                cells=(
                    Cell(metric_label(metric), note=_examples_of(comparison.split, comparison.suite)),
                    Cell(amounts.value(metric, comparison.challenger)),
                    Cell(amounts.value(metric, comparison.champion)),
                    Cell(amounts.difference(metric, comparison.difference), tone=_comparison_tone(record, comparison)),
                    Cell(amounts.difference_interval(metric, comparison.low, comparison.high) or ABSENT),
                    Cell(probability(comparison.p_value), note=comparison.method),
                    Cell(count(comparison.n, "example")),
                )
            )
        )
    heads = (
        Column("Metric"),
        Column("Challenger", True),
        Column(champion_word(record).capitalize(), True),
        Column("Difference", True),
        Column("Interval of the difference"),
        Column("p-value and method"),
        Column("Rests on", True),
    )
    names = f"{record.verdict.challenger_name} against {champion_name(record)}"
    return Table(caption=f"Comparisons: {names}", columns=heads, rows=tuple(rows))


def _examples_of(split: str, suite: str) -> str:
    return f"{split} examples" if suite == "clean" else f"{split} examples, with {suite}"


def _sets(record: CycleRecord, amounts: Amounts) -> Table:
    """Return the primary metric of both on every split and suite, and what each suite takes away."""
    metric, verdict = record.leaderboard.metric, record.verdict
    rows = []
    for split, suite in dict.fromkeys((trial.split, trial.suite) for trial in record.trials):
        ours = gate_trial(record, verdict.challenger, split, suite)
        theirs = gate_trial(record, verdict.champion, split, suite)
        clean = gate_trial(record, verdict.challenger, split, "clean")
        rows.append(
            Row(
                cells=(
                    Cell(_examples_of(split, suite)),
                    _quality(ours, metric, amounts),
                    _quality(theirs, metric, amounts),
                    Cell("—" if suite == "clean" else _change(ours, clean, metric, amounts)),
                    _failures(ours),
                    _failures(theirs),
                )
            )
        )
    rival = champion_word(record)
    heads = (
        Column("Examples"),
        Column("Challenger", True),
        Column(rival.capitalize(), True),
        Column("Change from clean", True),
        Column("Challenger's failed items", True),
        Column(f"{rival.capitalize()}'s failed items", True),
    )
    caption = f"{metric_label(metric)} on every set of examples, clean and under harder conditions"
    return Table(caption=caption, columns=heads, rows=tuple(rows))


def _quality(trial: Trial | None, metric: str, amounts: Amounts) -> Cell:
    value = trial.metric(metric) if trial else None
    return metric_cell(value, amounts) if value else Cell(ABSENT)


def metric_cell(value: MetricValue, amounts: Amounts) -> Cell:
    """Return a metric's value, with its interval as the note."""
    note = amounts.interval(value.metric, value.low, value.high)
    return Cell(amounts.value(value.metric, value.value), note=note)


def _change(trial: Trial | None, clean: Trial | None, metric: str, amounts: Amounts) -> str:
    ours, before = trial and trial.metric(metric), clean and clean.metric(metric)
    return amounts.difference(metric, ours.value - before.value) if ours and before else ABSENT


def _failures(trial: Trial | None) -> Cell:
    return Cell(f"{trial.n_failed:,} of {count(trial.n_items, 'item')}") if trial else Cell(ABSENT)


def _slices(record: CycleRecord, amounts: Amounts) -> list[Block]:
    """Return the primary metric by slice on the clean test examples, the challenger's worst first."""
    metric, verdict = record.leaderboard.metric, record.verdict
    ours = gate_trial(record, verdict.challenger, "test", "clean")
    theirs = gate_trial(record, verdict.champion, "test", "clean")
    if ours is None or not ours.slices:
        return []
    sign = 1 if direction_of(record, metric) == "max" else -1
    found = [(name, value) for name, values in ours.slices.items() for value in values if value.metric == metric]
    found.sort(key=lambda pair: (not math.isfinite(pair[1].value), sign * pair[1].value, pair[0]))
    rows = []
    for name, value in found[:_MAX_SLICES]:
        other = next((v for v in (theirs.slices.get(name, ()) if theirs else ()) if v.metric == metric), None)
        rival = metric_cell(other, amounts) if other else Cell(ABSENT)
        rows.append(Row(cells=(Cell(name), metric_cell(value, amounts), rival, Cell(count(value.n, "example")))))
    if not rows:
        return []
    left = len(found) - len(rows)
    shown = f", the {_MAX_SLICES} worst of {len(found)}" if left else ", the challenger's worst first"
    heads = (
        Column("Slice"),
        Column("Challenger", True),
        Column(champion_word(record).capitalize(), True),
        Column("Rests on", True),
    )
    return [Table(caption=f"{metric_label(metric)} by slice{shown}", columns=heads, rows=tuple(rows))]
