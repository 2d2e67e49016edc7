"""`lifeloop data review`: the suspected rows as a table for people to decide on."""

from pathlib import Path

import click


@click.command(short_help="The suspected rows, for people to decide on.")
@click.argument("version", required=False, default="")
@click.option("--to", "path", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The CSV to write.")
@click.option("--reason", default="", help="Only rows whose reason contains this.")
@click.option("--force", is_flag=True, help="Overwrite the file where there is one; the answers in it are lost.")
@click.pass_obj
def review(folder: Path, version: str, path: Path, reason: str, force: bool) -> None:
    """Write the quarantined rows of VERSION (by default the last) as a CSV, each with why it is suspected.

    Whoever knows the subject writes yes or no in the column `keep`, and mends `label` where it is wrong. With

    \b
      [data.refine]
      reviewed = "review.csv"

    the next version heeds it: what was kept is not suspected again. The file may grow from version to version.

    \b
    Examples:
      lifeloop data review --to review.csv
      lifeloop data review --to labels.csv --reason label
    """
    from lifeloop.lifecycle.data_review import rows_to_review
    from lifeloop.project import open_project

    if path.exists() and not force:
        raise click.UsageError(
            f"{path} is there already: give another name; --force overwrites it, and the answers in it"
        )
    table = rows_to_review(open_project(folder), version, reason)
    path.write_bytes(b"\xef\xbb\xbf" + table.write_csv().encode())  # by the mark, spreadsheets know that it is UTF-8
    click.echo(f"{path}: {table.height:,} texts to look at; rows that nobody can use are not among them")
    click.echo(
        f'next: write yes or no in the column keep, mend label, set reviewed = "{path.name}" under [data.refine],'
    )
    click.echo("      and `lifeloop data build`")
