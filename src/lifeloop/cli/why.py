"""`lifeloop why`: the steps from production back to the brief."""

from pathlib import Path

import click

from lifeloop.cli import render
from lifeloop.core.content import short


@click.command(short_help="Walk from production back to the brief.")
@click.argument("release", required=False, default="")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_obj
def command(folder: Path, release: str, as_json: bool) -> None:
    """Walk from RELEASE (an id or its beginning; by default what is in production) back to the brief.

    \b
    Examples:
      lifeloop why
      lifeloop why 93e0d8d1
    """
    from lifeloop.lifecycle.history import why
    from lifeloop.project import open_project

    steps = why(open_project(folder), release)
    if as_json:
        render.as_json(steps)
        return
    for step in steps:
        click.echo(f"{step.what:<10}{short(step.id)}  {step.about}")
