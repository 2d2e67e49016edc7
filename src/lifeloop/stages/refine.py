"""Can we trust it? Raw rows become examples in four splits, and every row that does not is accounted for.

Takes the raw table and the data section of the brief; asks one guard after another; gives the splits, the fate of
each raw row and the findings. The same rows give the same examples, today and in a year.
"""

from collections.abc import Callable
from functools import partial

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.brief import Data
from lifeloop.core.data import SPLITS, Example, Finding, RowFate, Split
from lifeloop.core.errors import DataError
from lifeloop.guards.duplicates import drop_duplicates
from lifeloop.guards.guard import Checked, keyed, numbered, taken_out
from lifeloop.guards.ids import check_ids
from lifeloop.guards.labels import check_conflicts, check_typos, merge_variants
from lifeloop.guards.splits import assign_splits
from lifeloop.guards.text import check_flaws, check_text
from lifeloop.tasks.task import Task

VERSION = "1"
"""Changed by hand when the same raw rows would give other examples."""


class Refined(Struct, frozen=True):
    """What is left of raw data, and what became of the rest."""

    splits: dict[Split, pl.DataFrame]
    """All four splits, each with the columns of Example; the guard split may be empty."""
    labels: tuple[str, ...]
    """The labels or entity types of the training split, sorted; empty where the task has none."""
    fates: tuple[RowFate, ...]
    """One for each raw row, in order."""
    findings: tuple[Finding, ...]


def refine(raw: pl.DataFrame, data: Data, task: str) -> Refined:
    """Return the examples that raw rows of RAW_SCHEMA hold, in fixed splits, with the fate of every row.

    Raises DataError where nothing is left, a split that is needed is empty, or there are not two labels to tell apart.
    """
    the_task: Task = plugins.get("tasks", task, where="project.task")
    table, done = numbered(raw), []
    for guard in _guards(data, the_task):
        checked = guard(table)
        table = checked.table
        done.append(checked)
    findings = tuple(each for checked in done for each in checked.findings)
    _check_left(table, raw.height, findings)
    splits = {name: _examples(table.filter(pl.col("split") == name)) for name in SPLITS}
    labels = the_task.labels(splits["train"]["reference"].to_list())
    if task == "classify":
        _check_labels(labels, splits["train"])
    _check_splits(splits, data)
    return Refined(splits, labels, _fates(raw, table, done), findings)


def _guards(data: Data, task: Task) -> list[Callable[[pl.DataFrame], Checked]]:
    """Return the guards in the order in which rows meet them."""
    classify = task.name == "classify"
    labels = [
        partial(merge_variants, out_of_scope=data.out_of_scope),
        partial(check_typos, out_of_scope=data.out_of_scope),
    ]
    return [
        check_flaws,
        partial(check_text, max_chars=data.max_chars),
        check_ids,
        partial(_check_references, task=task),
        *(labels if classify else []),
        _with_keys,
        *([check_conflicts] if classify else []),  # before repeats go: a repeat may be what contradicts
        partial(assign_splits, data=data),
        drop_duplicates,
        *([_check_unknown_labels] if classify else []),
    ]


def _check_references(table: pl.DataFrame, task: Task) -> Checked:
    """Quarantine rows whose reference the task cannot use."""
    flaws = {reference: task.flaw(reference) for reference in set(table["reference"])}
    out = {}
    for row, reference in table.select("row", "reference").iter_rows():
        if flaws[reference]:
            reason, _, detail = flaws[reference].partition(": ")
            out[row] = (reason, detail)
    return taken_out(table, out, "references", "quarantined")


def _with_keys(table: pl.DataFrame) -> Checked:
    return Checked(keyed(table), {}, {}, ())


def _check_unknown_labels(table: pl.DataFrame) -> Checked:
    """Quarantine rows of other splits whose label no training row has: no candidate could know it."""
    known = table.filter(pl.col("split") == "train")["reference"].unique()
    if not known.len():
        return Checked(table, {}, {}, ())
    unknown = table.filter(~pl.col("reference").is_in(known.to_list())).select("row", "reference", "split")
    reason = "a label that no training row has"
    out = {row: (reason, f"{label!r}, in {split}") for row, label, split in unknown.iter_rows()}
    return taken_out(table, out, "labels", "quarantined")


def _examples(table: pl.DataFrame) -> pl.DataFrame:
    return table.select(field.name for field in msgspec.structs.fields(Example))


def _fates(raw: pl.DataFrame, table: pl.DataFrame, done: list[Checked]) -> tuple[RowFate, ...]:
    """Return the fate of each raw row, in order."""
    gone = {row: fate for checked in done for row, fate in checked.fates.items()}
    notes: dict[int, list[str]] = {}
    for checked in done:
        for row, note in checked.notes.items():
            notes.setdefault(row, []).append(note)
    kept = dict(table.select("row", "split").iter_rows())
    return tuple(
        gone[row] if row in gone else RowFate(source, "kept", f"in {kept[row]}", "; ".join(notes.get(row, ())))
        for row, source in enumerate(raw["source"])
    )


def _check_left(table: pl.DataFrame, n_raw: int, findings: tuple[Finding, ...]) -> None:
    if table.height:
        return
    lost = sorted((each for each in findings if each.fate != "kept"), key=lambda each: -each.n_rows)[:3]
    why = "; ".join(f"{each.reason} ({each.n_rows} rows: {', '.join(each.examples[:2])})" for each in lost)
    fix = f"mend these first: {why}" if why else "write rows to the source"
    raise DataError(f"none of {n_raw} rows can be used", where="data", fix=fix)


def _check_labels(labels: tuple[str, ...], train: pl.DataFrame) -> None:
    if len(labels) == 1:
        raise DataError(
            f"all {train.height} training rows have the label {labels[0]!r}",
            where="data.reference",
            fix="a classification needs two labels or more: add rows of another, or name another column",
        )


def _check_splits(splits: dict[Split, pl.DataFrame], data: Data) -> None:
    counts = {name: table.height for name, table in splits.items()}
    empty = [name for name in ("train", "validation", "test") if not counts[name]]
    if not empty:
        return
    there = ", ".join(f"{name} {n}" for name, n in counts.items())
    if data.split and "validation" not in empty:
        where, fix = "data.split", f"declare rows for it in the column {data.split!r}, or remove data.split"
    else:
        shares = ", ".join(f"{name} {share:g}" for name, share in msgspec.structs.asdict(data.splits).items())
        where, fix = "data.splits", f"add rows, or change the shares, which are {shares}"
    raise DataError(f"no row is left for {' and '.join(empty)} (rows: {there})", where=where, fix=fix)
