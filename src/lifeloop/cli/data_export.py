"""`lifeloop data export` and `lifeloop data unmask`: a version of the data in other programs' formats."""

from pathlib import Path

import click

from lifeloop.cli import render
from lifeloop.core.content import short
from lifeloop.core.data import SPLITS

VERSION = click.argument("version", required=False, default="")
SPLIT = click.option(
    "--split", "splits", type=click.Choice(SPLITS), multiple=True, help="Only this split, several times for several."
)


@click.command(short_help="Write the splits in another format, with the card.")
@VERSION
@click.option("--to", type=click.Path(path_type=Path), required=True, help="The folder to make.")
@click.option(
    "--format", "format_", default="jsonl", show_default=True, help="jsonl, parquet, datasets, or a plugin's."
)
@SPLIT
@click.option("--quarantined", is_flag=True, help="Also quarantined rows with their reasons, personal data masked.")
@click.option("--force", is_flag=True, help="Replace an earlier export in the folder.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
@click.pass_obj
def export(
    folder: Path,
    version: str,
    to: Path,
    format_: str,
    splits: tuple[str, ...],
    quarantined: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Export VERSION into a folder: its splits, and its card as README.md with the head that the hub reads.

    All splits but guard, which goes along only where --split names it: nobody should train or choose by it. `datasets`
    writes what datasets.load_from_disk reads. The folder appears once all is written.

    \b
    Examples:
      lifeloop data export --to exported
      lifeloop data export 3 --to exported --format parquet --quarantined
      lifeloop data export --to for-hub --format datasets --split train --split test
    """
    from lifeloop.lifecycle.data_export import export as write
    from lifeloop.project import open_project

    made = write(
        open_project(folder),
        version,
        to,
        format_,
        splits=splits,
        quarantined=quarantined,
        force=force,  # type: ignore[arg-type]
    )
    if as_json:
        render.as_json(made)
        return
    counts = ", ".join(f"{n:,} {split}" for split, n in made.counts.items())
    click.echo(f"{to}: {counts} of {short(made.version)} as {made.format}, and README.md")
    if made.n_quarantined:
        click.echo(f"{to / 'quarantined.jsonl'}: {made.n_quarantined:,} quarantined with their reasons")
    if "guard" in made.counts:
        click.secho("the guard split is in it: keep it away from whatever trains or chooses", fg="yellow", err=True)


@click.command(short_help="Write the texts that were masked as they were, with the key.")
@VERSION
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The JSONL file to write.")
@SPLIT
@click.option("--force", is_flag=True, help="Replace the file.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
@click.pass_obj
def unmask(folder: Path, version: str, to: Path, splits: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Write the examples of VERSION whose personal data was masked, with their texts as they were.

    Needs the key that the data was masked under, in LIFELOOP_DATA_KEY. All splits but guard, unless --split names it.
    Only you may read the file; it holds personal data, so delete it when it has served.

    \b
    Examples:
      LIFELOOP_DATA_KEY=… lifeloop data unmask --to /secure/unmasked.jsonl
      LIFELOOP_DATA_KEY=… lifeloop data unmask 3 --to /secure/train.jsonl --split train
    """
    from lifeloop.lifecycle.data_unmask import unmask as write
    from lifeloop.project import open_project

    made = write(open_project(folder), version, to, splits=splits, force=force)  # type: ignore[arg-type]
    if as_json:
        render.as_json(made)
        return
    click.echo(f"{to}: {made.n_rows:,} {'row' if made.n_rows == 1 else 'rows'} of {short(made.version)} unmasked")
    if made.n_left:
        click.secho(f"{made.n_left:,} masks in them were made for good, or under another key", fg="yellow", err=True)
