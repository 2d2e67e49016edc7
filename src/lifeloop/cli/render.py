"""How results look in a terminal, and as JSON. Takes frozen values, prints them; decides nothing."""

from typing import Any

import click
import msgspec

from lifeloop.core.content import short
from lifeloop.core.evidence import Comparison, Elimination, Guarantee, Leaderboard, ObjectiveResult, Standing
from lifeloop.core.planning import Plan
from lifeloop.core.training_record import TrainingRecord

COLOURS = {"promote": "green", "reject": "red", "undecided": "yellow"}
MARKS = {"met": "✓", "kept": "✓", "missed": "✗", "broken": "✗", "undecided": "?"}


def as_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def clauses(reason: str) -> list[str]:
    """Return a reason of a rollout as its lines: what was found, then the figures that it rests on, one by one."""
    first, *more = reason.split("; ")
    found, colon, figure = first.partition(": ")
    return [f"{found}:", figure, *more] if more and colon else [first, *more]


def _table(*columns: tuple[str, str]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    return table


def _print(what: Any) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if console.width < 100:  # tables of numbers are read by columns; a narrow pipe must not fold them
        console = Console(highlight=False, width=100)
    console.print(what)


def leaderboard(board: Leaderboard) -> None:
    """Print the leaderboard."""
    table = _table(
        ("candidate", "left"),
        (board.metric, "right"),
        ("interval", "left"),
        ("p50 ms", "right"),
        ("p95 ms", "right"),
        ("memory MB", "right"),
        ("USD/1000", "right"),
        ("failed", "right"),
    )
    for standing in board.standings:
        table.add_row(*_standing(standing, board))
    items = next((s.trial.n_items for s in board.standings if s.trial and not s.eliminated), 0)
    click.echo(f"\nLeaderboard, {items} validation examples, the same for all")
    _print(table)
    for standing in board.standings:
        if standing.failure:
            click.secho(f"{standing.name}: {standing.failure}", fg="red")
    _race(board)
    click.echo(f"challenger: {_name(board, board.challenger)}, {board.reason}")


def _race(board: Leaderboard) -> None:
    """Print what each elimination rested on, and what the race saved."""
    out = [(standing.name, standing.eliminated) for standing in board.standings if standing.eliminated]
    for name, found in out:
        click.secho(f"{name}: {elimination_line(found)}", dim=True)
    if out:
        saved = sum(found.of_items - found.n_items for _, found in out)
        whole = sum(s.eliminated.of_items if s.eliminated else s.trial.n_items for s in board.standings if s.trial)
        click.echo(f"the race saved {saved:,} of {whole:,} calls; --exhaustive makes them all")


def elimination_line(found: Elimination) -> str:
    """Return in one line why a race ended early for a candidate."""
    return (
        f"out after {found.n_items:,} of {found.of_items:,}: {found.difference:+.2f} "
        f"({found.low:+.2f} to {found.high:+.2f}) against {found.leader}"
    )


def _standing(standing: Standing, board: Leaderboard) -> list[str]:
    from rich.markup import escape

    name = escape(standing.name)
    if standing.trial is None:
        return [f"[red]{name}[/red]", "—", "[red]failed[/red]", "", "", "", "", ""]
    found = standing.trial.metric(board.metric)
    measured = standing.trial.measurements
    dim = "[dim]" if standing.eliminated else ""
    mark = dim or ("[bold]" if standing.candidate == board.challenger else "")
    return [
        f"{mark}{name}",
        f"{mark}{found.value:.4f}" if found else "—",
        f"{dim}{found.low:.3f}–{found.high:.3f}" if found else "",
        f"{dim}{measured.p50_ms:.1f}",
        f"{dim}{measured.p95_ms:.1f}",
        f"{dim}{measured.memory_mb:.0f}",
        f"{dim}{measured.usd_per_1000:.2g}",
        f"{dim}{standing.trial.n_failed}",
    ]


def _name(board: Leaderboard, candidate: str) -> str:
    return next((s.name for s in board.standings if s.candidate == candidate), short(candidate))


def verdict(result: Any) -> None:
    """Print the verdict of a cycle's result."""
    found = result.verdict
    against = (
        f"the baseline {found.champion_name}" if found.champion_is_baseline else f"the champion {found.champion_name}"
    )
    decision = click.style(found.decision.upper(), fg=COLOURS[found.decision], bold=True)
    click.echo(f"\nVerdict of cycle {found.cycle}: {decision}  {found.challenger_name} against {against}")
    click.echo(f"  {found.reason}.")
    if found.override_by:
        click.secho(f"  against the gate, by {found.override_by}: {found.override_reason}", fg="yellow")
    for objective in (*found.objectives, *found.guards):
        click.echo(f"  {_objective(objective)}")
    for row in found.comparisons:
        click.echo(f"  {comparison_line(row)}")
    for guarantee in found.guarantees:
        click.echo(f"  {_guarantee(guarantee)}")
    if found.more_examples:
        click.echo(f"  about {found.more_examples} further test examples would settle it")
    if result.released:
        click.echo(
            f"in production: {found.challenger_name} (release {short(result.released)}); `lifeloop serve` serves it"
        )
    elif result.begun:
        click.echo(begun_line(result.begun))
    elif result.since:
        click.secho(result.since, fg="yellow")


def begun_line(begun: Any) -> str:
    """Return in one line what became of a verdict that promotes."""
    if begun.state == "released":
        return f"in production: {begun.name} (release {short(begun.release)}), {begun.about}"
    if begun.state == "held":
        return click.style(f"not released: {begun.name}: {begun.about}", fg="yellow")
    return f"rolling out: {begun.name} (release {short(begun.release)}), {begun.about}; `lifeloop serve` takes it on"


def _objective(found: ObjectiveResult) -> str:
    mark = MARKS[found.state]
    metric = f"{found.metric} where {found.slice}" if found.slice else found.metric
    if found.target is None:
        return f"{mark} guard {metric}: {found.state} (difference {found.value:+.4f})"
    sign = "≥" if found.direction == "max" else "≤"
    interval = f" ({found.low:.4f} to {found.high:.4f})" if found.low < found.high else ""  # measured, not sampled
    return f"{mark} {metric} {sign} {found.target:g}: {found.value:.4f}{interval} {found.state}"


def _guarantee(found: Guarantee) -> str:
    mark = {True: "✓", False: "✗", None: "?"}[found.kept]
    on_test = "not checked on test"
    if found.test is not None:
        on_test = f"{found.test:.1%} on test ({found.test_low:.1%} to {found.test_high:.1%})"
    return f"{mark} {found.candidate}: {found.risk}, at most {found.target:g}: {on_test}"


def comparison_line(row: Comparison) -> str:
    """Return a comparison in one line."""
    p_value = f", p = {row.p_value:.2g}" if row.p_value is not None else ""
    interval = f" ({row.low:+.4f} to {row.high:+.4f})" if row.low < row.high else ""
    place = ", ".join(part for part in (row.split, "" if row.suite == "clean" else row.suite, row.slice) if part)
    return (
        f"· {row.metric} on {place} (n = {row.n}): {row.challenger:.4f} against {row.champion:.4f}, "
        f"difference {row.difference:+.4f}{interval}{p_value}"
    )


def plan(found: Plan) -> None:
    """Print a plan."""
    machine, profile = found.machine, found.profile
    click.echo(
        f"data     {profile.n_train} train, {profile.n_validation} validation, {profile.n_test} test, "
        f"{profile.n_guard} guard; {profile.n_labels} labels, {profile.mean_chars:.0f} characters an input"
    )
    click.echo(f"machine  {machine.cores} cores, {machine.memory_gb:.0f} GB, {machine.gflops:.0f} GFLOP/s measured")
    table = _table(
        ("candidate", "left"),
        ("kind", "left"),
        ("memory GB", "right"),
        ("make s", "right"),
        ("try s", "right"),
        ("USD", "right"),
        ("rests on", "left"),
    )
    for line in found.lines:
        table.add_row(
            line.name,
            line.kind,
            f"{line.estimate.memory_gb:.1f}",
            f"{line.estimate.build_seconds:.0f}",
            f"{line.trial_seconds:.0f}",
            f"{line.usd:.2f}",
            f"[red]{line.too_much}[/red]" if line.too_much else line.estimate.basis,
        )
    _print(table)
    within = (
        click.style("within the budget", fg="green") if found.within_budget else click.style("over budget", fg="red")
    )
    click.echo(f"in all   about {found.seconds / 60:.1f} min, {found.usd:.2f} USD, {found.memory_gb:.1f} GB: {within}")
    click.echo("\nCan the test split settle it?")
    for item in found.items:
        mark = click.style("✓", fg="green") if item.enough else click.style("✗", fg="red")
        click.echo(f"  {mark} {item.question} needs {item.needed}, has {item.available} ({item.basis})")
    click.echo(f"\nScope: {found.scope}")
    for reason in found.reasons:
        click.echo(f"  · {reason}")


def training_line(name: str, record: TrainingRecord) -> str:
    """Return one line on a training: how, on how much, and what it broke."""
    broken = [check.name for check in record.checks if check.broken]
    scores = [point.score for point in record.curve if point.score is not None]
    parts = [f"{record.n_examples:,} examples", f"seed {record.seed}"]
    parts += [f"best score {max(scores):.4f}"] if scores else []
    parts += [f"{len(record.search)} settings tried"] if record.search else []
    parts += [click.style(f"broke {', '.join(broken)}", fg="red")] if broken else []
    return f"  {name:<20} {record.method}: {', '.join(parts)}"


def training(name: str, record: TrainingRecord) -> str:
    """Return all that is known of a training: its curve in letters, events, checks, ablation and search."""
    from lifeloop.reports.adaptation import ablation_table, checks_table, search_table
    from lifeloop.reports.curve import curve_letters
    from lifeloop.reports.lettered import table_letters

    tables = []
    tables += [checks_table(name, record)] if record.checks else []
    tables += [ablation_table(name, record)] if record.ablations else []
    tables += [search_table(name, record)] if record.search else []
    parts = [training_line(name, record).strip(), curve_letters(record), *(f"- {event}" for event in record.events)]
    if record.kl_to_parent is not None:
        parts.append(f"KL to its parent: {record.kl_to_parent:.4f} nats a token")
    parts += [table_letters(table) for table in tables]
    return "\n".join(part for part in parts if part)
