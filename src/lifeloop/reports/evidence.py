"""The evidence at the gate as a section: the comparisons, every set of examples, the slices, the thresholds.

Takes a record, gives blocks. Knows nothing of HTML or Markdown.
"""

import math

from lifeloop.core.evidence import Comparison, MetricValue, Trial
from lifeloop.reports.abstention import abstention_blocks
from lifeloop.reports.blocks import Block, Cell, Column, Row, Section, Table, Text, Tone
from lifeloop.reports.contenders import champion_name, champion_word, direction_of, gate_trial, how_to_write
from lifeloop.reports.numbers import ABSENT, Amounts, count, percent, plain, probability
from lifeloop.reports.record import CycleRecord
from lifeloop.reports.sentence import oriented
from lifeloop.reports.wording import confidence, metric_label

_MAX_SLICES = 40


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
    blocks += _guarantees(record)
    blocks += abstention_blocks(record)
    blocks += _repeats(record)
    return Section(key="evidence", title="Evidence at the gate", blocks=tuple(blocks))


def comparison_tone(record: CycleRecord, comparison: Comparison) -> Tone:
    """Return good or bad news where the interval of the difference leaves zero out."""
    low, high = oriented(record, comparison)
    return "good" if low > 0 else "bad" if high < 0 else "open"


def metric_cell(value: MetricValue, amounts: Amounts) -> Cell:
    """Return a metric's value, with its interval as the note."""
    note = amounts.interval(value.metric, value.low, value.high)
    return Cell(amounts.value(value.metric, value.value), note=note)


def _comparisons(record: CycleRecord, amounts: Amounts) -> Table:
    rows = []
    for comparison in record.verdict.comparisons:
        metric = comparison.metric
        rows.append(
            Row(
                cells=(
                    Cell(metric_label(metric), note=_where(comparison)),
                    Cell(amounts.value(metric, comparison.challenger)),
                    Cell(amounts.value(metric, comparison.champion)),
                    Cell(amounts.difference(metric, comparison.difference), tone=comparison_tone(record, comparison)),
                    Cell(amounts.difference_interval(metric, comparison.low, comparison.high) or ABSENT),
                    Cell(_always(comparison, amounts), note=_odds(comparison)),
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
        Column("Always-valid interval"),
        Column("p-value and method"),
        Column("Rests on", True),
    )
    names = f"{record.verdict.challenger_name} against {champion_name(record)}"
    return Table(caption=f"Comparisons: {names}", columns=heads, rows=tuple(rows))


def _where(comparison: Comparison) -> str:
    where = _examples_of(comparison.split, comparison.suite)
    return f"{where}, {comparison.slice}" if comparison.slice else where


def _always(comparison: Comparison, amounts: Amounts) -> str:
    """Return the interval that holds however often people look, which the decision rests on."""
    if comparison.always_low is None or comparison.always_high is None:
        return "—"
    return amounts.difference_interval(comparison.metric, comparison.always_low, comparison.always_high) or ABSENT


def _odds(comparison: Comparison) -> str:
    """Return the evidence that the challenger is better, as odds against chance."""
    if comparison.e_value is None:
        return ""
    if comparison.e_value >= 1e6:
        return "e-value over a million"
    return f"e-value {plain(comparison.e_value)}"


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


def _guarantees(record: CycleRecord) -> list[Block]:
    """Return what thresholds promised on validation, and what test says of it."""
    found = record.verdict.guarantees
    if not found:
        return []
    rows = []
    for promise in found:
        interval = f"{percent(promise.test_low)} to {percent(promise.test_high)}" if promise.test is not None else ""
        tone: Tone = {True: "good", False: "bad", None: "open"}[promise.kept]  # type: ignore[assignment]
        said = {True: "kept", False: "broken", None: "not checked"}[promise.kept]
        rows.append(
            Row(
                cells=(
                    Cell(promise.candidate, note=promise.risk),
                    Cell(percent(promise.target)),
                    Cell(percent(promise.validation), note=f"threshold {plain(promise.threshold)}"),
                    Cell(ABSENT if promise.test is None else percent(promise.test), note=interval),
                    Cell(said, tone=tone),
                )
            )
        )
    heads = (
        Column("Candidate and risk"),
        Column("Promised: at most", True),
        Column("On validation", True),
        Column("On test", True),
        Column("State"),
    )
    caption = "Thresholds and the risk they were set for (conformal risk control), checked on test"
    return [Table(caption=caption, columns=heads, rows=tuple(rows))]


def _repeats(record: CycleRecord) -> list[Block]:
    """Return how much of the uncertainty is luck of the examples, and how much the model's own dice."""
    trials = [trial for trial in record.trials if trial.variance and (trial.split, trial.suite) == ("test", "clean")]
    rows = []
    for trial in trials:
        for part in trial.variance:
            whole = part.between_items + part.within_items
            share = percent(part.within_items / whole) if whole > 0 else ABSENT
            cells = (Cell(trial.name), Cell(metric_label(part.metric)), Cell(count(trial.repeats, "time")), Cell(share))
            rows.append(Row(cells=cells))
    if not rows:
        return []
    heads = (
        Column("Candidate"),
        Column("Metric"),
        Column("Each example asked", True),
        Column("Variance that is the model's own dice", True),
    )
    return [Table(caption="Repeated runs: where the variance comes from", columns=heads, rows=tuple(rows))]
