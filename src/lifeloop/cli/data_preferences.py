"""`lifeloop data preferences`: what people and models prefer, whom of them to believe, and what is set aside."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeloop.cli import render
from lifeloop.cli.progress import Screen
from lifeloop.core.content import short

if TYPE_CHECKING:
    from lifeloop.core.preferences import Lean, Rater
    from lifeloop.lifecycle.preference_review import DoubtedRow, PreferencesSeen

MOST_RATERS = 20
ENDINGS = {".csv": ",", ".tsv": "\t"}
NOTHING = "no preferences: name files in [preferences] source or a judge in [preferences.ai], or gather feedback"


@click.command(short_help="What is preferred, by whom, and what is set aside.")
@click.option("--show", "n_rows", type=click.IntRange(0, 100_000), default=0, help="Rows set aside to show, with why.")
@click.option(
    "--review", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write those set aside as a sheet."
)
@click.option("--force", is_flag=True, help="Overwrite the sheet where there is one; the answers in it are lost.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, and progress nowhere.")
@click.pass_obj
def preferences(folder: Path, n_rows: int, path: Path | None, force: bool, as_json: bool) -> None:
    """Collect preferences now, and show how many can be learnt from, who gave them, and what is set aside and why.

    They come from the files and the judge that [preferences] names, from feedback, and from pairs in the data itself.
    The same is done when a candidate is aligned to them; what is done here is not done again. A judge is paid for.

    With --review, whoever knows the subject gets those set aside as .csv or .tsv, and writes yes or no in the column
    `keep`. With

    \b
      [preferences.trust]
      reviewed = "review.csv"

    the next cycle heeds it: what was kept is not doubted again.

    \b
    Examples:
      lifeloop data preferences
      lifeloop data preferences --show 10
      lifeloop data preferences --review review.csv
      lifeloop data preferences --json | jq .raters
    """
    if path is not None:
        _check_sheet(path, force=force)
    from lifeloop.lifecycle.cycle import build_preferences
    from lifeloop.lifecycle.preference_review import preferences_seen, review_sheet
    from lifeloop.project import open_project

    project = open_project(folder)
    with Screen(quiet=as_json) as screen:
        row, found = build_preferences(project, screen.tell, time.time)
    if found is None:
        render.as_json(None) if as_json else click.echo(NOTHING)
        return
    vault = project.open_vault()
    seen = preferences_seen(vault, row.number, found.id, n_rows)
    if as_json:
        render.as_json(seen)
    else:
        for line in _lines(seen):
            click.echo(line)
    if path is not None:
        sheet = review_sheet(vault, found.id)
        text = sheet.write_csv(separator=ENDINGS[path.suffix.lower()])
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())  # by the mark, spreadsheets know that it is UTF-8
        click.echo(f"{path}: {sheet.height:,} to look at; leaks and repeats are not among them", err=as_json)
        next_ = f'next: write yes or no in the column keep, set reviewed = "{path.name}" under [preferences.trust]'
        click.echo(next_, err=as_json)


def _check_sheet(path: Path, *, force: bool) -> None:
    """Raise UsageError where a sheet cannot be written there, before anything is done."""
    if path.suffix.lower() not in ENDINGS:
        raise click.UsageError(f"{path.name} is no name for a sheet: end it in .csv or .tsv")
    if path.exists() and not force:
        raise click.UsageError(
            f"{path} is there already: give another name; --force overwrites it, and the answers in it"
        )


def _lines(seen: "PreferencesSeen") -> Iterator[str]:
    yield f"preferences of cycle {seen.cycle}, {short(seen.id)}"
    yield f"{'':<24}{'trusted':>10}{'held out':>10}{'set aside':>11}"
    for each in seen.origins:
        yield f"{each.name:<24}{each.n_trusted:>10,}{each.n_held_out:>10,}{each.n_doubted:>11,}"
    if len(seen.origins) != 1:
        yield f"{'all':<24}{seen.n_trusted:>10,}{seen.n_held_out:>10,}{seen.n_doubted:>11,}"
    if seen.flip_rate:
        yield f"of the trusted pairs, an estimated {seen.flip_rate:.1%} are in the wrong order"
    if seen.doubts:
        yield "\nset aside"
        for reason, n in seen.doubts.items():
            yield f"  {n:>7,}  {reason}"
        yield "  --show N shows them, --review FILE writes them for people to decide on"
    if seen.raters:
        yield from _raters(seen.raters)
    if seen.leans:
        yield "\nbiases: 0.5 is none"
        yield from map(_lean, seen.leans)
    told = [each for each in seen.findings if each.reason not in seen.doubts]
    if told:
        yield "\nfindings"
        for finding in told:
            of = f" ({finding.examples[0]}{', …' if finding.n_rows > 1 else ''})" if finding.examples else ""
            n = f"{finding.n_rows:,}" if finding.n_rows else ""
            yield f"  {n:>7}  {finding.reason}{of}"
    for row in seen.rows:
        yield from _row(row)


def _raters(raters: tuple["Rater", ...]) -> Iterator[str]:
    """Yield a line for each rater, those doubted most first."""
    ordered = sorted(raters, key=lambda each: (-each.n_doubted, -each.n, each.name))
    yield f"\n{'rater':<24}{'given':>8}{'reliable':>10}{'overlaps':>10}{'set aside':>11}{'weight':>8}"
    for each in ordered[:MOST_RATERS]:
        reliable = "" if each.reliability is None else f"{each.reliability:.2f}"
        line = f"{each.name[:23]:<24}{each.n:>8,}{reliable:>10}{each.n_overlaps:>10,}{each.n_doubted:>11,}"
        yield f"{line}{each.weight:>8.2f}{f'  {each.note}' if each.note else ''}"
    if len(ordered) > MOST_RATERS:
        yield f"and {len(ordered) - MOST_RATERS:,} more"


def _lean(lean: "Lean") -> str:
    note = f": {lean.note}" if lean.note else ""
    return f"  {lean.name:<24}{lean.value:>6.2f} ({lean.low:.2f} to {lean.high:.2f}), of {lean.n:,}{note}"


def _row(row: "DoubtedRow") -> Iterator[str]:
    by = f" by {row.rater}" if row.rater else ""
    why = f"{row.reason}{f': {row.detail}' if row.detail else ''}"
    yield f"\n{row.id}  {row.source}{by}  {click.style(why, fg='red')}"
    for name, text in (("input", row.input), ("chosen", row.chosen), ("rejected", row.rejected)):
        if text:
            lines = text.splitlines()
            yield f"  {name:<10}{lines[0] if lines else ''}"
            yield from (f"  {'':<10}{line}" for line in lines[1:])
