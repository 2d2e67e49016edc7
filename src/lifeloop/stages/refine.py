"""Can we trust it? Raw rows become examples in four splits, and every row that does not is accounted for.

Takes the raw parts as they were examined, lets settle decide over all rows, and assembles the dataset. The same rows
after the same history of versions give the same examples, today and in a year.
"""

import bisect
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import polars as pl
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.brief import Data
from lifeloop.core.content import Id
from lifeloop.core.data import SPLITS, Dataset, DatasetPart, Finding, Raw, RawPart, Split
from lifeloop.core.errors import DataError
from lifeloop.core.progress import Progress
from lifeloop.guards.guard import EXAMINED, merged
from lifeloop.guards.splits.assigning import nowhere_placed
from lifeloop.stages import assemble, examine, settle
from lifeloop.stages.examine import Examined
from lifeloop.store.tables import scan, to_parquet
from lifeloop.store.vault import Vault
from lifeloop.tasks.task import Task

VERSION = f"2/{examine.VERSION}/{settle.VERSION}/{assemble.VERSION}"
"""Its first number is changed by hand when the same raw rows would give other examples."""


READERS = 4
"""Parts that are read at a time."""

S = TypeVar("S")
T = TypeVar("T")


class Before(Struct, frozen=True):
    """What earlier versions of the dataset leave to the next."""

    placements: pl.DataFrame
    """Of splits.PLACEMENTS."""
    parts: dict[str, DatasetPart]
    """By the raw part they came from: what is decided alike is not written again."""


NOTHING_BEFORE = Before(nowhere_placed(), {})


class RowTexts(Struct, frozen=True):
    """Reads inputs by their row, from the parts they are in."""

    vault: Vault
    examined: tuple[Examined, ...]
    starts: tuple[int, ...]
    """The first row of each part."""

    def __call__(self, rows: Sequence[int]) -> pl.Series:
        """Return the inputs (n,) of rows, which ascend."""
        wanted = pl.Series("row", rows, dtype=pl.Int64)
        bounds = [bisect.bisect_left(rows, start) for start in self.starts] + [len(rows)]
        spans = [(part, *span) for part, span in enumerate(itertools.pairwise(bounds)) if span[0] < span[1]]

        def read(span: tuple[int, int, int]) -> pl.Series:
            part, first, last = span
            table = scan((self.vault.get(self.examined[part].table),)).select("row", "input").collect()
            here = (wanted[first:last] - self.starts[part]).to_frame()
            return here.join(table, on="row", how="left", maintain_order="left")["input"]

        found = _each(read, spans)
        return pl.concat(found) if found else pl.Series("input", [], dtype=pl.String)


def refine(
    vault: Vault,
    raw: Id,
    examined: Sequence[Examined],
    data: Data,
    task: str,
    before: Before,
    beside: settle.Beside,
    progress: Progress,
) -> Dataset:
    """Return the dataset that a Raw value's parts give, in fixed splits, with the fate of every row.

    `examined` has one for each part. Raises DataError where nothing is left, a split that is needed is empty, or there
    are not two labels to tell apart.
    """
    the_task: Task = plugins.get("tasks", task, where="project.task")
    parts = vault.get_value(raw, Raw).parts
    starts = tuple(itertools.accumulate((part.n_rows for part in parts), initial=0))[: len(parts)]
    table = _all_rows(vault, examined, starts)
    texts = RowTexts(vault, tuple(examined), starts)
    found = settle.settle(table, texts, data, the_task, before.placements, beside, progress)
    findings = merged([*(each for part in examined for each in part.findings), *found.findings])
    _check_left(found.table, sum(part.n_rows for part in parts), findings)
    made = _assembled(vault, parts, examined, starts, found, before)
    tables = _tables(vault, made)
    counts = dict.fromkeys(SPLITS, 0) | dict(found.table["split"].value_counts().iter_rows())
    train = found.table.filter(pl.col("split") == "train")
    labels = the_task.labels(train["reference"].unique().to_list())
    if task == "classify":
        _check_labels(labels, train)
    _check_splits(counts, data, findings)
    return Dataset(
        tables=tables,
        counts=counts,
        labels=labels,
        raw=raw,
        parts=made,
        findings=findings,
        placements=vault.put(to_parquet(found.placements)),
        sealed=tuple(dict.fromkeys(part.sealed for part in examined if part.sealed)),
        about=data.about,
    )


def _all_rows(vault: Vault, examined: Sequence[Examined], starts: Sequence[int]) -> pl.DataFrame:
    """Return what is known of each row, without the texts."""

    def read(part: tuple[Examined, int]) -> pl.DataFrame:
        table = scan((vault.get(part[0].table),)).select(list(EXAMINED))
        return table.with_columns(pl.col("row") + part[1]).collect()

    parts = _each(read, list(zip(examined, starts, strict=True)))
    return pl.concat([pl.DataFrame(schema=EXAMINED), *parts])


def _each(read: Callable[[S], T], parts: Sequence[S]) -> list[T]:
    """Return what each part gives, in order, a few at a time: hashing and unpacking leave the interpreter's lock."""
    with ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(read, parts))


def _assembled(
    vault: Vault,
    parts: Sequence[RawPart],
    examined: Sequence[Examined],
    starts: Sequence[int],
    found: settle.Settled,
    before: Before,
) -> tuple[DatasetPart, ...]:
    kept = found.table.select(assemble.KEPT)
    made = []
    for part, looked_at, start in zip(parts, examined, starts, strict=True):
        own, decided = (_rows_from(table, start, part.n_rows) for table in (kept, found.decided))
        made.append(assemble.assemble(vault, part, looked_at, own, decided, before.parts.get(part.table)))
    return tuple(made)


def _rows_from(table: pl.DataFrame, start: int, n_rows: int) -> pl.DataFrame:
    """Return the rows of a part, by their places in it. `table` is in the order of its rows."""
    first, last = (int(table["row"].search_sorted(row, side="left")) for row in (start, start + n_rows))
    return table[first:last].with_columns(pl.col("row") - start)


def _tables(vault: Vault, parts: Sequence[DatasetPart]) -> dict[Split, tuple[Id, ...]]:
    """Return each split's tables in order, one without rows where it has none."""
    tables: dict[Split, tuple[Id, ...]] = {}
    for split in SPLITS:
        found = tuple(part.tables[split] for part in parts if split in part.tables)
        tables[split] = found or (vault.put(to_parquet(assemble.no_examples())),)
    return tables


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


def _check_splits(counts: dict[str, int], data: Data, findings: Sequence[Finding]) -> None:
    empty = [name for name in ("train", "validation", "test") if not counts[name]]
    if not empty:
        return
    there = ", ".join(f"{name} {n}" for name, n in counts.items())
    if data.split and "validation" not in empty:
        where, fix = "data.split", f"declare rows for it in the column {data.split!r}, or remove data.split"
    else:
        shares = ", ".join(f"{name} {getattr(data.splits, name):g}" for name in SPLITS)
        where, fix = "data.splits", f"add rows, or change the shares, which are {shares}"
    lost = sorted((each for each in findings if each.fate != "kept"), key=lambda each: -each.n_rows)[:3]
    why = "; ".join(f"{each.n_rows} {each.fate} by {each.step}: {each.reason}" for each in lost)
    what = f"no row is left for {' and '.join(empty)} (rows: {there}{f'; {why}' if why else ''})"
    raise DataError(what, where=where, fix=fix)
