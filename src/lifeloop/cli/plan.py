"""`lifeloop plan`: what a cycle will take, before anything is spent."""

import time
from pathlib import Path

import click

from lifeloop.cli import render
from lifeloop.cli.progress import Screen


@click.command(short_help="Estimate memory, time and money, and whether the data can settle the objectives.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.pass_obj
def command(folder: Path, as_json: bool) -> None:
    """Estimate memory, time and money, and whether the data can settle the objectives.

    Reads and refines the data, measures this machine for half a second, and spends nothing else.

    \b
    Examples:
      lifeloop plan
      lifeloop plan --json | jq .within_budget
    """
    from lifeloop.lifecycle.cycle import make_plan
    from lifeloop.project import open_project

    project = open_project(folder)
    with Screen(quiet=as_json) as screen:
        found = make_plan(project, screen.tell, time.time)
    if as_json:
        render.as_json(found)
    else:
        render.plan(found)
