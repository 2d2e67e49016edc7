"""`lifeloop data`: versions of the data. Here: making one, listing them, and the card; the rest is beside."""

import time
from pathlib import Path

import click

from lifeloop.cli import data_export, data_rows, render
from lifeloop.cli.data_preferences import preferences
from lifeloop.cli.data_review import review
from lifeloop.cli.data_select import select
from lifeloop.cli.progress import Screen

JSON = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
VERSION = click.argument("version", required=False, default="")


@click.group(short_help="Versions of the data: card, differences, rows, export, selection.")
def command() -> None:
    """Versions of the data: how they are made, what is in them, what changed, and what became of every row.

    A VERSION is a cycle's number or the beginning of a dataset's id; by default it is the last one.

    \b
    Examples:
      lifeloop data build
      lifeloop data card
      lifeloop data show tickets.csv:12
      lifeloop data diff 1 2
      lifeloop data export --to exported --format jsonl
      lifeloop data preferences
    """


@command.command(short_help="Collect and refine now, without trying candidates.")
@click.option("--json", "as_json", is_flag=True, help="Print the version as JSON, and progress nowhere.")
@click.pass_obj
def build(folder: Path, as_json: bool) -> None:
    """Collect the brief's sources and refine them now, and write the data card.

    It is what `lifeloop run` begins with; the run then finds it done. What did not change since the last version is
    not read, examined or written again.

    \b
    Examples:
      lifeloop data build
      lifeloop data build --json | jq .version.counts
    """
    from lifeloop.lifecycle.cycle import build_dataset
    from lifeloop.lifecycle.data_card import data_record, write_card
    from lifeloop.project import open_project

    project = open_project(folder)
    with Screen(quiet=as_json) as screen:
        built = build_dataset(project, screen.tell, time.time)
        record = data_record(project, built.dataset_id)
        paths = write_card(project, record)
    if as_json:
        render.as_json(record)
        return
    if not built.fresh:
        click.echo("nothing changed: this version was there already")
    for line in data_rows.summary(record):
        click.echo(line)
    for path in paths:
        click.echo(f"card         {path}")


@command.command("list", short_help="The versions there are.")
@JSON
@click.pass_obj
def list_(folder: Path, as_json: bool) -> None:
    """List the versions of the data, oldest first: cycle, id, when, rows, and examples by split.

    \b
    Examples:
      lifeloop data list
      lifeloop data list --json
    """
    import contextlib

    from lifeloop.lifecycle.data_versions import data_versions
    from lifeloop.project import open_project

    project = open_project(folder)
    with contextlib.closing(project.open_ledger()) as ledger:
        versions = data_versions(ledger, project.open_vault())
    if as_json:
        render.as_json(versions)
        return
    for version in versions:
        click.echo(data_rows.version_line(version))
    if not versions:
        click.echo("no version of the data yet: `lifeloop data build` makes one")


@command.command(short_help="Write the data card of a version.")
@VERSION
@click.option("--json", "as_json", is_flag=True, help="Print everything that the card shows, as JSON.")
@click.pass_obj
def card(folder: Path, version: str, as_json: bool) -> None:
    """Write the data card of VERSION as HTML and Markdown into reports/.

    It says what the data is, where it comes from, what became of every row and why, how it is split, what is in it,
    what was found with rows to look at, and what changed against the version before.

    \b
    Examples:
      lifeloop data card
      lifeloop data card 3
      lifeloop data card --json | jq .losses
    """
    from lifeloop.lifecycle.data_card import data_record, write_card
    from lifeloop.project import open_project

    project = open_project(folder)
    record = data_record(project, version)
    if as_json:
        render.as_json(record)
        return
    for path in write_card(project, record):
        click.echo(str(path))


for _inner in (data_rows.diff, data_rows.show, data_export.export, data_export.unmask, preferences, review, select):
    command.add_command(_inner)
