"""`lifeloop training`: how candidates were trained, as curves and tables."""

from pathlib import Path

import click

from lifeloop.cli import render


@click.command(short_help="Show how candidates were trained: curves, checks, search.")
@click.argument("name", required=False, default="")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_obj
def command(folder: Path, name: str, as_json: bool) -> None:
    """Show how the candidates of the last leaderboard were trained; with NAME one of them, with its curve.

    \b
    Examples:
      lifeloop training
      lifeloop training minilm-tuned
      lifeloop training aligned --json
    """
    from lifeloop.lifecycle.upbringing import trained
    from lifeloop.project import open_project

    found = trained(open_project(folder), name)
    if as_json:
        render.as_json(found)
        return
    if name:
        click.echo(render.training(name, found[name]))
        return
    if not found:
        click.echo("No candidate of the last leaderboard kept a record of its training.")
    for each, record in found.items():
        click.echo(render.training_line(each, record))
    curved = [each for each, record in found.items() if len(record.curve) > 1]
    if curved:
        click.echo(f"\nlifeloop training {curved[0]}   shows its curve")
