"""`lifeloop data diff` and `lifeloop data show`: what changed between versions, and what became of a row."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeloop.cli import render
from lifeloop.core.content import short
from lifeloop.core.data import SPLITS

if TYPE_CHECKING:
    from lifeloop.lifecycle.data_rows import SeenRow
    from lifeloop.reports.data_record import DataDiff, DataRecord, DataVersion

FATES = ("kept", "dropped", "quarantined")
COLOURS = {"kept": "green", "dropped": "yellow", "quarantined": "red"}
MOST_LABELS = 20
GUARD_TEXT = "(a guard row)"
GUARD_NOTICE = "guard rows are for people to read; they must not be used to choose anything"


@click.command(short_help="What changed from one version to another.")
@click.argument("before", metavar="[A]", required=False, default="")
@click.argument("after", metavar="[B]", required=False, default="")
@click.option(
    "--rows", "n_rows", type=click.IntRange(0, 1000), default=5, show_default=True, help="Rows to show of each kind."
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_obj
def diff(folder: Path, before: str, after: str, n_rows: int, as_json: bool) -> None:
    """Show what came, went and changed from version A to version B; by default from the last but one to the last.

    Rows are told apart by the ids that they came with. Without data.id those are their places in the source: then every
    row after one that was put in between counts as changed.

    \b
    Examples:
      lifeloop data diff
      lifeloop data diff 1 3
      lifeloop data diff 77b02e --rows 20
    """
    from lifeloop.lifecycle.data_diff import project_difference
    from lifeloop.project import open_project

    found = project_difference(open_project(folder), before, after, n_rows)
    if as_json:
        render.as_json(found)
        return
    for line in _difference(found):
        click.echo(line)


def _difference(found: "DataDiff") -> Iterator[str]:
    yield f"from {version_line(found.before)}"
    yield f"to   {version_line(found.after)}"
    if found.is_empty:
        yield "no row, fate or finding changed"
        return
    what = ", ".join(f"{name} {n:,}" for name, n in found.changed.items() if n)
    yield f"rows as they came  +{found.raw_came:,} −{found.raw_went:,}"
    yield f"examples came      {_by_split(found.came)}"
    yield f"examples went      {_by_split(found.went)}"
    yield f"examples changed   {found.n_changed:,}{f' ({what})' if what else ''}"
    if found.n_moved:
        yield click.style(f"{found.n_moved:,} examples of one group are in another split: this must not be", fg="red")
    yield from _counted(found)
    yield from _examples(found)


def _counted(found: "DataDiff") -> Iterator[str]:
    """Yield what can be counted: fates, labels and findings that changed."""
    fates = [
        f"  {each.n_rows:>7,}  {each.before}  →  {each.after}  ({', '.join(each.examples[:2])})" for each in found.fates
    ]
    labels = [
        f"  {label.name:<30} +{sum(label.came.values()):,} −{sum(label.went.values()):,}" for label in found.labels
    ]
    if len(labels) > MOST_LABELS:
        labels = [*labels[:MOST_LABELS], f"  and {len(labels) - MOST_LABELS} more"]
    findings = [
        f"  {each.before:>7,} → {each.after:<7,} {each.step}: {each.reason} ({each.fate})" for each in found.findings
    ]
    titled = (("What became of rows that are in both", fates), ("Labels", labels), ("Findings, rows", findings))
    for title, lines in titled:
        if lines:
            yield f"\n{title}"
            yield from lines


def _examples(found: "DataDiff") -> Iterator[str]:
    """Yield some of the rows themselves."""
    for title, sign, colour, rows in (
        ("Came", "+", "green", found.came_rows),
        ("Went", "−", "red", found.went_rows),
    ):
        if rows:
            yield f"\n{title}"
        for row in rows:
            yield f"  {click.style(sign, fg=colour)} {row.source} ({row.split}; {row.detail})  {row.text or GUARD_TEXT}"
    if found.changed_rows:
        yield "\nChanged"
    for changed in found.changed_rows:
        yield f"  {changed.id}: {', '.join(changed.what)}"
        yield click.style(f"    − {changed.before}", fg="red")
        yield click.style(f"    + {changed.after}", fg="green")


@click.command(short_help="What became of a row, and why.")
@click.argument("what", required=False, default="")
@click.option("--version", default="", help="A cycle's number or the beginning of an id; by default the last version.")
@click.option("--fate", type=click.Choice(FATES), default=None, help="Only rows with this fate.")
@click.option("--reason", default="", help="Only rows with this in their reason.")
@click.option("--split", type=click.Choice(SPLITS), default=None, help="Only rows kept in this split.")
@click.option("--label", default="", help="Only rows with this label, as it came or as it is now.")
@click.option("--guard", is_flag=True, help="Show the texts of guard rows too.")
@click.option(
    "-n", "limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="At most so many rows."
)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@click.pass_obj
def show(
    folder: Path,
    what: str,
    version: str,
    fate: str | None,
    reason: str,
    split: str | None,
    label: str,
    guard: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Show rows as they came, and what became of them: WHAT is a source such as tickets.csv:12, or an id.

    Texts are shown as they came, also where personal data was masked since; then as they are now besides. Texts of
    guard rows are shown only with --guard: they are for people to read, and must not be used to choose anything.

    \b
    Examples:
      lifeloop data show tickets.csv:12
      lifeloop data show --fate quarantined --reason "same text"
      lifeloop data show --split test --label refund -n 5
      lifeloop data show --fate dropped -n 1000 --json | jq .rows[].source
    """
    from lifeloop.lifecycle.data_rows import Wanted, seen_rows
    from lifeloop.project import open_project

    wanted = Wanted(what, fate or "", reason, split or "", label)  # type: ignore[arg-type]
    found = seen_rows(open_project(folder), version, wanted, limit, guard=guard)
    if as_json:
        render.as_json(found)
        return
    for row in found.rows:
        for line in _row(row):
            click.echo(line)
    more = f", the first {len(found.rows):,} of them" if len(found.rows) < found.n_rows else ""
    click.echo(f"{found.n_rows:,} {'row' if found.n_rows == 1 else 'rows'} of {short(found.version.id)}{more}")
    if any(row.split == "guard" for row in found.rows):
        click.echo(click.style(GUARD_NOTICE, fg="yellow"), err=True)


def _row(row: "SeenRow") -> Iterator[str]:
    why = row.reason if row.fate != "kept" else f"in {row.split}"
    detail = f": {row.detail}" if row.detail else ""
    name = f"  id {row.id}" if row.id != row.source else ""
    yield f"{row.source}{name}  {click.style(row.fate, fg=COLOURS[row.fate])} {why}{detail}"
    if row.withheld:
        yield "  a guard row: its text is shown with --guard"
        return
    yield from _lines("came", row.text, row.reference)
    if row.text_now or row.reference_now:
        yield from _lines("now ", row.text_now, row.reference_now)


def _lines(when: str, text: str, reference: str) -> Iterator[str]:
    for place, line in enumerate(text.splitlines() or [""] if text else []):
        yield f"  {when if not place else '    '}  {line}"
    if reference:
        yield f"  {when}  → {reference}"


# shared with `lifeloop data build` and `list`


def version_line(version: "DataVersion") -> str:
    """Return a version in one line."""
    from lifeloop.reports.numbers import moment

    return (
        f"{short(version.id)}  cycle {version.cycle:<4} {moment(version.at)}  {version.n_raw:,} rows came: "
        f"{_by_split(version.counts)}"
    )


def _by_split(counts: dict[str, int]) -> str:
    return f"{sum(counts.values()):,} ({', '.join(f'{counts.get(split, 0):,} {split}' for split in SPLITS)})"


MUCH_LOST = 0.3
"""The share of rows from whose loss on people are warned."""


def summary(record: "DataRecord") -> Iterator[str]:
    """Yield what a version came to: counts, and what was dropped and quarantined, by reason."""
    version = record.version
    shared = record.diff.n_parts_shared if record.diff else 0
    yield f"version      {version_line(version)}"
    if shared:
        yield f"             {shared:,} parts shared with the version before"
    for fate in ("dropped", "quarantined"):
        losses = [loss for loss in record.losses if loss.fate == fate]
        yield f"{fate:<13}{sum(loss.n_rows for loss in losses):,}"
        for loss in losses:
            yield f"  {loss.n_rows:>8,}  {loss.reason} ({loss.step or 'not known'})"
    if any(loss.fate == "quarantined" for loss in record.losses):
        yield "             `lifeloop data show --fate quarantined` shows them"
    if version.n_kept < (1 - MUCH_LOST) * version.n_raw:
        most = max(record.losses, key=lambda loss: loss.n_rows)
        share = 1 - version.n_kept / version.n_raw
        warning = f"{share:.0%} of the rows are gone, most of them for one reason: {most.reason}"
        yield click.style(f"warning      {warning}", fg="yellow")
        yield f"             if that is not what they are, see [data.refine] and the step {most.step!r} in docs/data.md"
