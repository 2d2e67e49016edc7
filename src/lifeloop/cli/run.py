"""`lifeloop run`: one cycle, with progress, and what it came to."""

import time
from pathlib import Path

import click

from lifeloop.cli import render
from lifeloop.cli.progress import Screen


@click.command(short_help="Run the next cycle, or finish the last one.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and progress nowhere.")
@click.option("--learn-now", is_flag=True, help="Learn from new feedback however little there is.")
@click.pass_obj
def command(folder: Path, as_json: bool, learn_now: bool) -> None:
    """Run the next cycle, or finish the last one.

    Every stage whose inputs have not changed is taken from the ledger. New feedback (at least monitor.min_feedback),
    new data or a changed brief start a new cycle. Stop it at any moment: the same command goes on from there.

    \b
    Examples:
      lifeloop run
      lifeloop run --json | jq .verdict.decision
    """
    from lifeloop.lifecycle.cycle import run_cycle
    from lifeloop.lifecycle.history import write_report
    from lifeloop.project import open_project

    project = open_project(folder)
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
