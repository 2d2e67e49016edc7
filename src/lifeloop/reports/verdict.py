"""The verdict as a section: what was decided, by whom, and how each objective and guard stands.

Takes a record, gives blocks. The numbers behind it are in `evidence`. Knows nothing of HTML or Markdown.
"""

import math

from lifeloop.core.evidence import OPERATIONAL, Comparison, ObjectiveResult
from lifeloop.reports.blocks import Block, Cell, Column, Row, Section, Table, Text, Tile, Tiles
from lifeloop.reports.contenders import champion_name, champion_word, gate_trial, how_to_write
from lifeloop.reports.evidence import comparison_tone
from lifeloop.reports.numbers import ABSENT, Amounts, count, probability, usd
from lifeloop.reports.record import CycleRecord
from lifeloop.reports.sentence import main_comparison
from lifeloop.reports.wording import (
    STATE_TONES,
    held_against,
    margin_of,
    metric_label,
    more_examples,
)

_DECISIONS = {"promote": "promoted", "reject": "rejected", "undecided": "undecided: not enough evidence"}


def verdict_section(record: CycleRecord) -> Section:
    """Return the decision, the numbers that matter most, the objectives and the guards."""
    verdict, amounts = record.verdict, how_to_write(record)
    rival = champion_word(record)
    if verdict.challenger == verdict.champion:
        who = f"{verdict.challenger_name} was held against the brief alone: it is the {rival} itself"
    else:
        who = f"{verdict.challenger_name} (the challenger) was held against {verdict.champion_name} (the {rival})"
    blocks: list[Block] = [Tiles(tiles=_tiles(record, amounts))]
    if verdict.override_by:
        reason = verdict.override_reason.strip().rstrip(".")
        blocks.append(Text(lead=f"Override by {verdict.override_by}, against the gate:", text=f"{reason}."))
    blocks.append(Text(lead=f"{_DECISIONS[verdict.decision].capitalize()}.", text=f"{who}."))
    if verdict.reason.strip() and not verdict.override_by:
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
                comparison_tone(record, primary),
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
            Cell(metric_label(result.metric), note=f"{better} is better, {examples} examples{_of_slice(result)}"),
            Cell(margin_of(amounts, objective) if objective else ABSENT),
            Cell(amounts.difference(result.metric, result.value)),
            Cell(interval if result.low != result.high and interval else _no_interval(result)),
            _state(result),
        )
    )


def _of_slice(result: ObjectiveResult) -> str:
    return f" of {result.slice}" if result.slice else ""


def _is_of(comparison: Comparison, result: ObjectiveResult) -> bool:
    """Return whether a guard was held against this comparison; the gate names the difference, not the split."""
    ours = (comparison.metric, comparison.slice, comparison.difference, comparison.low, comparison.high)
    theirs = (result.metric, result.slice, result.value, result.low, result.high)
    return comparison.suite == "clean" and ours == theirs


def _no_interval(result: ObjectiveResult) -> str:
    return "measured, so without one" if result.metric in OPERATIONAL and math.isfinite(result.value) else "not known"


def _state(result: ObjectiveResult) -> Cell:
    note = f"{count(result.more_examples, 'further example')} needed" if result.more_examples > 0 else ""
    if result.state in ("missed", "broken") and result.adjusted_p is not None:
        note = f"{probability(result.adjusted_p)}, corrected for the number of comparisons"
    return Cell(result.state, note=note, tone=STATE_TONES[result.state])
