"""`lifeloop run`: one cycle, with progress, and what it came to."""

import time
from pathlib import Path

import click

from lifeloop.cli import render
from lifeloop.cli.progress import Screen


@click.command(short_help="Run the next cycle, or finish the last one.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and progress nowhere.")
@click.option("--learn-now", is_flag=True, help="Learn from new feedback however little there is.")
@click.option("--exhaustive", is_flag=True, help="Try every candidate on every example, as explore.race = false does.")
@click.pass_obj
def command(folder: Path, as_json: bool, learn_now: bool, exhaustive: bool) -> None:
    """Run the next cycle, or finish the last one.

    Every stage whose inputs have not changed is taken from the ledger. New feedback (at least monitor.min_feedback),
    new data or a changed brief start a new cycle. Stop it at any moment: the same command goes on from there.
    Candidates race: whoever is shown to be worse than the leader by more than gate.margin is not tried any further,
    unless --exhaustive, which like a change of the brief starts a cycle of its own.

    \b
    Examples:
      lifeloop run
      lifeloop run --exhaustive
      lifeloop run --json | jq .verdict.decision
    """
    from lifeloop.lifecycle.cycle import run_cycle, without_race
    from lifeloop.lifecycle.history import write_report
    from lifeloop.project import open_project

    project = without_race(open_project(folder)) if exhaustive else open_project(folder)
    with Screen(quiet=as_json) as screen:
        result = run_cycle(project, screen.tell, time.time, learn_now=learn_now)
        paths = write_report(project, result.cycle)
    if as_json:
        render.as_json(result)
        return
    render.leaderboard(result.leaderboard)
    render.verdict(result)
    for path in paths:
        click.echo(f"report   {path}")
