"""`lifeloop override`: a person promotes what the gate did not."""

import time
from pathlib import Path

import click

from lifeloop.cli import render
from lifeloop.core.content import short


@click.command(short_help="Promote against the gate, with a name and a reason that stay on record.")
@click.argument("verdict", required=False, default="")
@click.option("--reason", required=True, help="Why it goes to production all the same.")
@click.option("--by", required=True, help="Who answers for it.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_obj
def command(folder: Path, verdict: str, reason: str, by: str, as_json: bool) -> None:
    """Promote the challenger of VERDICT (an id or its beginning; by default the last one) against the gate.

    Makes a new verdict that names the old one, the reason and the person, and releases the challenger. Reports,
    `status`, `why` and `audit` show it.

    \b
    Examples:
      lifeloop override --by "Ann Lee" --reason "the old model's licence ends on Friday"
      lifeloop override 5cfed9ce0de0 --by "Ann Lee" --reason "agreed with the complaints desk, ticket 312"
    """
    from lifeloop.lifecycle.history import write_report
    from lifeloop.lifecycle.override import override
    from lifeloop.project import open_project

    project = open_project(folder)
    made = override(project, reason=reason, by=by, verdict=verdict, clock=time.time)
    paths = write_report(project, made.verdict.cycle)
    if as_json:
        render.as_json(made)
        return
    click.echo(f"{made.verdict.challenger_name}, of cycle {made.verdict.cycle}: {made.verdict.reason}.")
    click.echo(f"in production: {made.verdict.challenger_name} (release {short(made.released)})")
    for path in paths:
        click.echo(f"report   {path}")
