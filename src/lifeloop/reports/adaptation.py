"""What was adapted, as a section: child against parent, the curves of training, what it broke, and preferences.

Takes a record, gives blocks. Knows nothing of HTML or Markdown.
"""

from lifeloop.core.evidence import Comparison, MetricValue
from lifeloop.core.training_record import SearchTrial, TrainingRecord
from lifeloop.reports.blocks import Block, Cell, Column, Facts, Figure, Row, Section, Table, Text, Tone
from lifeloop.reports.contenders import direction_of, how_to_write
from lifeloop.reports.curve import curve, curve_letters
from lifeloop.reports.numbers import ABSENT, Amounts, count, percent, plain
from lifeloop.reports.record import CycleRecord
from lifeloop.reports.wording import metric_label

_WIDE, _NARROW = 820, 360
_MOST_CURVES = 6


def adaptation_sections(record: CycleRecord) -> tuple[Section, ...]:
    """Return the section on adapted candidates; none where nothing was adapted or trained with a record."""
    if not (record.parents or record.training or record.preferences):
        return ()
    amounts = how_to_write(record)
    blocks: list[Block] = []
    if record.parents:
        blocks += [_families(record, amounts), *_at_the_gate(record, amounts)]
    for name, training in list(record.training.items())[:_MOST_CURVES]:
        blocks += _training(name, training)
    blocks += _preferences(record)
    return (Section(key="adaptation", title="Adaptation: parent and child", blocks=tuple(blocks)),)


def _families(record: CycleRecord, amounts: Amounts) -> Table:
    """Return every adapted candidate beside its parent, on the examples of validation."""
    metric = record.leaderboard.metric
    trials = {standing.name: standing.trial for standing in record.leaderboard.standings}
    sign = 1 if direction_of(record, metric) == "max" else -1
    rows = []
    for child, parent in record.parents.items():
        found = [trial.metric(metric) if (trial := trials.get(name)) else None for name in (parent, child)]
        training = record.training.get(child)
        cells = [_value(value, amounts) for value in found]
        before, after = found
        if before is None or after is None:
            change = Cell(ABSENT)
        else:
            difference = after.value - before.value
            tone: Tone = "open" if difference == 0 else "good" if sign * difference > 0 else "bad"
            change = Cell(amounts.difference(metric, difference), tone=tone)
        rows.append(
            Row(
                cells=(
                    Cell(child, note=f"from {parent}" + (f", {training.method}" if training else "")),
                    cells[0],
                    _on_as_many(cells[1], before, after),
                    change,
                    Cell("—" if training is None else count(training.n_examples, "example")),
                    _kl(training),
                ),
                marked=child == record.verdict.challenger_name,
            )
        )
    heads = (
        Column("Candidate"),
        Column("Parent", True),
        Column("Child", True),
        Column("Change", True),
        Column("Trained on", True),
        Column("KL to the parent, nats a token", True),
    )
    return Table(caption=f"{metric_label(metric)} on validation examples", columns=heads, rows=tuple(rows))


def _value(value: MetricValue | None, amounts: Amounts) -> Cell:
    if value is None:
        return Cell(ABSENT)
    return Cell(amounts.value(value.metric, value.value), note=amounts.interval(value.metric, value.low, value.high))


def _on_as_many(cell: Cell, parent: MetricValue | None, child: MetricValue | None) -> Cell:
    """Return the child's cell, with the examples it rests on where a race stopped one of the two before the other."""
    if parent is None or child is None or parent.n == child.n:
        return cell
    return Cell(cell.text, note=f"{cell.note}; on {child.n:,} examples, the parent on {parent.n:,}".strip("; "))


def _kl(training: TrainingRecord | None) -> Cell:
    if training is None or training.kl_to_parent is None:
        return Cell("—")
    return Cell(plain(training.kl_to_parent))


def _at_the_gate(record: CycleRecord, amounts: Amounts) -> list[Block]:
    """Return the challenger against its parent, on test, guard and under each suite, and what that means."""
    found = record.verdict.parentage
    if found is None:
        return _composed(record)
    if not found.comparisons:
        text = f"{found.name} could not be tried, so the challenger was held against the champion alone."
        return [Text(lead="Its parent:", text=text)]
    rows = tuple(_compared(record, comparison, amounts) for comparison in found.comparisons)
    heads = (
        Column("Metric"),
        Column("Child", True),
        Column("Parent", True),
        Column("Difference", True),
        Column("Interval of the difference"),
        Column("Rests on", True),
    )
    caption = f"At the gate: {record.verdict.challenger_name} against its parent {found.name}"
    broken = [result.metric for result in found.guards if result.state == "broken"]
    said = (
        f"The child breaks {', '.join(map(metric_label, broken))}, which its parent keeps, and so cannot win."
        if broken
        else "No guard of the brief is shown to be worse than the parent's by more than its margin."
    )
    return [Table(caption=caption, columns=heads, rows=rows), Text(text=said)]


def _composed(record: CycleRecord) -> list[Block]:
    """Return what is said where the challenger is composed of others: the gate tries it whole, not its members."""
    name = record.verdict.challenger_name
    members = record.brief.candidates.get(name, {}).get("members", ())
    adapted = [f"{member} (from {record.parents[member]})" for member in members if member in record.parents]
    if not adapted:
        return []
    text = (
        f"{name} is composed of {', '.join(adapted)}. The gate tried it whole, against the champion; its adapted "
        "members are held against their parents on validation, above, and by the checks of their training."
    )
    return [Text(lead="At the gate:", text=text)]


def _compared(record: CycleRecord, comparison: Comparison, amounts: Amounts) -> Row:
    metric = comparison.metric
    sign = 1 if direction_of(record, metric) == "max" else -1
    low, high = sorted((sign * comparison.low, sign * comparison.high))
    tone: Tone = "good" if low > 0 else "bad" if high < 0 else "open"
    suite = "" if comparison.suite == "clean" else f", with {comparison.suite}"
    where = f"{comparison.split} examples{suite}{f', {comparison.slice}' if comparison.slice else ''}"
    return Row(
        cells=(
            Cell(metric_label(metric), note=where),
            Cell(amounts.value(metric, comparison.challenger)),
            Cell(amounts.value(metric, comparison.champion)),
            Cell(amounts.difference(metric, comparison.difference), tone=tone),
            Cell(amounts.difference_interval(metric, comparison.low, comparison.high) or ABSENT),
            Cell(count(comparison.n, "example")),
        )
    )


def _training(name: str, training: TrainingRecord) -> list[Block]:
    """Return how one candidate was trained: its curve, what happened, what it broke, and what a search tried."""
    blocks: list[Block] = []
    if drawn := curve(training, name, _WIDE):
        blocks.append(
            Figure(
                title=f"The training of {name}",
                caption=f"{training.method}, seed {training.seed}",
                wide=drawn,
                narrow=curve(training, name, _NARROW),
                letters=curve_letters(training),
            )
        )
    if training.events:
        blocks.append(Text(lead=f"{name}:", text=" ".join(_sentence(event) for event in training.events)))
    if training.checks:
        blocks.append(checks_table(name, training))
    if training.ablations:
        blocks.append(ablation_table(name, training))
    if training.search:
        blocks.append(search_table(name, training))
    return blocks


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def checks_table(name: str, training: TrainingRecord) -> Table:
    """Return what training may have broken, on parent and child."""
    rows = tuple(
        Row(
            cells=(
                Cell(check.name, note=check.note),
                Cell(_number(check.parent)),
                Cell(_number(check.child)),
                Cell(plain(check.limit)),
                Cell("broken" if check.broken else "kept", tone="bad" if check.broken else "good"),
                Cell(count(check.n, "item")),
            )
        )
        for check in training.checks
    )
    heads = (
        Column("Check"),
        Column("Parent", True),
        Column("Child", True),
        Column("May be worse by", True),
        Column("State"),
        Column("Rests on", True),
    )
    return Table(caption=f"What the training of {name} may have broken", columns=heads, rows=rows)


def _number(value: float | None) -> str:
    return "no number" if value is None else plain(value)


def ablation_table(name: str, training: TrainingRecord) -> Table:
    """Return what the same training gives with the quarantined preferences left in."""
    rows = tuple(
        Row(
            cells=(
                Cell(found.name),
                Cell(_number(found.parent)),
                Cell(_number(found.guarded)),
                Cell(_number(found.unguarded)),
                Cell(count(found.n, "item")),
            )
        )
        for found in training.ablations
    )
    heads = (
        Column("Measured"),
        Column("Parent", True),
        Column("Without what is quarantined", True),
        Column("With it", True),
        Column("Rests on", True),
    )
    return Table(caption=f"Ablation: {name} trained with the quarantined preferences", columns=heads, rows=rows)


def search_table(name: str, training: TrainingRecord) -> Table:
    """Return the settings that a search tried, best first."""
    tried = sorted(training.search, key=lambda trial: -trial.score if trial.score is not None else float("inf"))
    rows = tuple(
        Row(
            cells=(
                Cell(
                    ", ".join(f"{key} = {_short(value)}" for key, value in trial.settings.items()) or "as in the brief"
                ),
                Cell("—" if trial.score is None else plain(trial.score)),
                Cell(_end_of(trial)),
            )
        )
        for trial in tried
    )
    heads = (Column("Settings"), Column("Score on validation", True), Column("How far"))
    return Table(caption=f"The search for {name}", columns=heads, rows=rows)


def _end_of(trial: SearchTrial) -> str:
    if trial.stopped:
        return "given up early"
    return "failed" if trial.score is None else "trained to its end"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _preferences(record: CycleRecord) -> list[Block]:
    """Return what preferences there were, who gave them, and what is suspicious in them."""
    found = record.preferences
    if found is None:
        return []
    items = [
        (
            "Preferences",
            f"{found.n_trusted:,} trusted, {found.n_held_out:,} held out to watch training on, "
            f"{found.n_doubted:,} quarantined",
        ),
        ("Estimated share of wrong orders", percent(found.flip_rate) if found.flip_rate else "none was found"),
        *(
            (
                lean.name,
                f"{percent(lean.value)} ({percent(lean.low)} to {percent(lean.high)}, {count(lean.n, 'pair')})"
                + (f"; {lean.note}" if lean.note else ""),
            )
            for lean in found.leans
        ),
    ]
    blocks: list[Block] = [Facts(items=tuple(items))]
    if found.findings:
        rows = tuple(
            Row(cells=(Cell(each.step), Cell(each.reason), Cell(each.fate), Cell(f"{each.n_rows:,}")))
            for each in found.findings
        )
        heads = (Column("Guard"), Column("Reason"), Column("Fate"), Column("Preferences", True))
        blocks.append(Table(caption="What the guards of alignment found", columns=heads, rows=rows))
    if found.raters:
        blocks.append(_raters(record))
    return blocks


def _raters(record: CycleRecord) -> Table:
    assert record.preferences is not None, "only called where there are preferences"
    worst = sorted(record.preferences.raters, key=lambda rater: (-rater.n_doubted, -rater.n))[:20]
    rows = tuple(
        Row(
            cells=(
                Cell(rater.name or "nobody named", note=rater.note),
                Cell(f"{rater.n:,}"),
                Cell("—" if rater.reliability is None else percent(rater.reliability)),
                Cell(f"{rater.n_doubted:,}"),
                Cell(plain(rater.weight)),
            )
        )
        for rater in worst
    )
    heads = (
        Column("Rater"),
        Column("Preferences", True),
        Column("Reliability", True),
        Column("Quarantined", True),
        Column("Weight", True),
    )
    return Table(caption="Who preferred, the most doubted first", columns=heads, rows=rows)
