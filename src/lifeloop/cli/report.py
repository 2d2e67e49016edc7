"""`lifeloop report`: writes the report of a cycle again."""

from pathlib import Path

import click


@click.command(short_help="Write the report of a cycle again.")
@click.argument("cycle", type=int, default=0)
@click.option("--json", "as_json", is_flag=True, help="Print everything that the report shows, as JSON.")
@click.pass_obj
def command(folder: Path, cycle: int, as_json: bool) -> None:
    """Write the report of CYCLE (by default the last) as HTML and Markdown into reports/.

    \b
    Examples:
      lifeloop report
      lifeloop report 1
      lifeloop report --json | jq .verdict
    """
    from lifeloop.cli import render
    from lifeloop.lifecycle.history import cycle_record, write_report
    from lifeloop.project import open_project

    project = open_project(folder)
    if as_json:
        render.as_json(cycle_record(project, cycle))
        return
    for path in write_report(project, cycle):
        click.echo(str(path))
