"""Can these rows be trusted together? The steps of refining that look at all rows: ids, labels, splits, repeats,
contamination, wrong labels, planted rows.

Takes what was examined of every row, without the texts, which it asks for where it must; gives the rows that stay,
each in its split, and what became of the others. Rows keep the split that their group was first given.
"""

from collections.abc import Callable
from functools import partial

import polars as pl
from msgspec import Struct

from lifeloop.core.brief import Data
from lifeloop.core.data import Finding
from lifeloop.core.progress import Progress
from lifeloop.guards.balance import check_balance
from lifeloop.guards.duplicates import drop_duplicates
from lifeloop.guards.guard import Checked, Texts, merged, taken_out
from lifeloop.guards.ids import check_ids
from lifeloop.guards.label_errors import check_label_errors
from lifeloop.guards.labels import check_conflicts, check_typos, merge_variants
from lifeloop.guards.near.copies import check_near
from lifeloop.guards.outliers import check_outliers
from lifeloop.guards.reviewed import NOT_REVIEWED, apply_reviews, unless_reviewed
from lifeloop.guards.splits.assigning import assign_splits
from lifeloop.guards.suspicious.planted import check_suspicious
from lifeloop.stages.examine import decided
from lifeloop.tasks.task import Task

VERSION = "1"
"""Changed by hand when the same examined rows would be settled otherwise."""

Step = Callable[[pl.DataFrame], Checked]


class Beside(Struct, frozen=True):
    """What is known of rows from elsewhere than the sources."""

    benchmarks: tuple[str, ...] = ()
    """The inputs of known benchmark items."""
    reviews: pl.DataFrame = NOT_REVIEWED
    """Of reviewed.REVIEWS: what people decided of rows."""


class Settled(Struct, frozen=True):
    """What was decided of all rows."""

    table: pl.DataFrame
    """The rows that stay, in order: guard.EXAMINED, with `split` filled."""
    decided: pl.DataFrame
    """Of examine.DECIDED: the rows that do not, and those that were changed."""
    findings: tuple[Finding, ...]
    placements: pl.DataFrame
    """Every group ever placed, and its split."""


def settle(
    table: pl.DataFrame,
    texts: Texts,
    data: Data,
    task: Task,
    placed: pl.DataFrame,
    beside: Beside,
    progress: Progress,
) -> Settled:
    """Return what stays of examined rows (guard.EXAMINED, `row` being the place among all raw rows).

    `placed` are the splits that earlier versions gave to groups and texts.
    """
    before = _before_splits(data, task, beside.reviews)
    after = _after_splits(data, task, texts, beside)
    total = len(before) + 1 + len(after)
    done: list[Checked] = []
    for name, step in before:
        progress(len(done), total, name)
        done.append(step(table))
        table = done[-1].table
    progress(len(done), total, "splits")
    splits = assign_splits(table, data, placed, lambda reference: task.labels([reference]))
    done.append(splits.checked)
    table = splits.checked.table
    for name, step in after:
        progress(len(done), total, name)
        done.append(step(table))
        table = done[-1].table
    return Settled(
        table=table,
        decided=decided(done),
        findings=merged(each for checked in done for each in checked.findings),
        placements=splits.placements,
    )


def _before_splits(data: Data, task: Task, reviews: pl.DataFrame) -> list[tuple[str, Step]]:
    steps: list[tuple[str, Step]] = [("ids", check_ids), ("reviews", partial(apply_reviews, reviews=reviews))]
    if task.name == "classify":
        typos = partial(check_typos, out_of_scope=data.out_of_scope)
        steps += [
            ("labels", partial(merge_variants, out_of_scope=data.out_of_scope)),
            ("labels", unless_reviewed(typos, reviews)),
            # before repeats go: a repeat may be what contradicts
            ("conflicts", unless_reviewed(check_conflicts, reviews)),
        ]
    return steps


def _after_splits(data: Data, task: Task, texts: Texts, beside: Beside) -> list[tuple[str, Step]]:
    refine, classify, reviews = data.refine, task.name == "classify", beside.reviews
    steps: list[tuple[str, Step]] = [("duplicates", drop_duplicates)]
    if refine.near_duplicates.on or refine.contamination.on:
        near = partial(
            check_near,
            texts=texts,
            near=refine.near_duplicates,
            contamination=refine.contamination,
            benchmarks=beside.benchmarks,
            same_reference=classify,  # a neighbour with another label is for those who look at labels
        )
        steps.append(("near duplicates", near))
    if refine.outliers.on:
        outliers = partial(check_outliers, settings=refine.outliers)
        steps.append(("outliers", unless_reviewed(outliers, reviews)))
    if refine.suspicious.on:
        suspicious = partial(check_suspicious, texts=texts, settings=refine.suspicious, seed=data.seed)
        steps.append(("planted rows", unless_reviewed(suspicious, reviews)))
    if classify and refine.label_errors.on:
        errors = partial(check_label_errors, texts=texts, settings=refine.label_errors, seed=data.seed)
        steps.append(("label errors", unless_reviewed(errors, reviews)))
    if classify:
        steps.append(("labels", _check_unknown_labels))
    if refine.balance.on:
        steps.append(("balance", partial(check_balance, settings=refine.balance, task=task)))
    return steps


def _check_unknown_labels(table: pl.DataFrame) -> Checked:
    """Quarantine rows of other splits whose label no training row has: no candidate could know it."""
    known = table.filter(pl.col("split") == "train")["reference"].unique()
    if not known.len():
        return Checked(table, {}, {}, ())
    unknown = table.filter(~pl.col("reference").is_in(known.to_list())).select("row", "reference", "split")
    reason = "a label that no training row has"
    out = {row: (reason, f"{label!r}, in {split}") for row, label, split in unknown.iter_rows()}
    return taken_out(table, out, "labels", "quarantined")
