"""What changed from one version of the data to another: rows that came, went and changed, and what became of them.

Parts that both versions have are told by their ids and never read; of the others, texts are compared by their hashes.
Reads ledger and vault; changes neither.
"""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl

from lifeloop.core.brief import Brief
from lifeloop.core.data import SPLITS, Dataset, DatasetPart, RawPart
from lifeloop.core.errors import DataError
from lifeloop.lifecycle.data_figures import names_in
from lifeloop.lifecycle.data_texts import masked_texts, shortened
from lifeloop.lifecycle.data_versions import brief_of, version_before, version_named
from lifeloop.project import Project
from lifeloop.reports.data_record import (
    ChangedRow,
    CountChange,
    DataDiff,
    DataVersion,
    FateChange,
    FindingChange,
    ShownRow,
)
from lifeloop.store.dataset_parts import examples_of, fates_of, paired_parts
from lifeloop.store.tables import scan
from lifeloop.store.vault import Vault

FIELDS = ("text", "reference", "split", "group", "slices")
"""What of an example can change."""
MOST_EXAMPLES = 5

KEPT = "kept"

_ROWS = {
    **dict.fromkeys(("key", "source", "became", "split", "reference"), pl.String),
    **dict.fromkeys(("text", "group", "slices"), pl.UInt64),
    "part": pl.Int64,
}

Pairs = Sequence[tuple[RawPart, DatasetPart]]


def project_difference(project: Project, before: str = "", after: str = "", n_rows: int = 0) -> DataDiff:
    """Return what changed from a version to another; by default to the last from the one before.

    With `n_rows`, so many rows of each kind are shown. Raises DataError where there is no such version.
    """
    with contextlib.closing(project.open_ledger()) as ledger:
        vault = project.open_vault()
        later = version_named(ledger, vault, after)
        earlier = version_named(ledger, vault, before) if before else version_before(ledger, vault, later)
        if earlier is None:
            raise DataError(
                "there is but one version of the data up to this one",
                where=ledger.name,
                fix="change the data, then `lifeloop data build` makes another",
            )
        return difference(vault, earlier, later, brief_of(ledger, vault, later), n_rows)


def difference(vault: Vault, before: DataVersion, after: DataVersion, brief: Brief, n_rows: int) -> DataDiff:
    """Return what changed between two versions. `brief` is the later one's."""
    datasets = [vault.get_value(version.id, Dataset) for version in (before, after)]
    olds, news = (paired_parts(vault, dataset) for dataset in datasets)
    shared = {_key(part) for _, part in olds} & {_key(part) for _, part in news}
    olds, news = ([pair for pair in pairs if _key(pair[1]) not in shared] for pairs in (olds, news))
    old, new = (_rows(vault, pairs) for pairs in (olds, news))
    kept_old, kept_new = (table.filter(pl.col("became") == KEPT) for table in (old, new))
    came, went = kept_new.join(kept_old, on="key", how="anti"), kept_old.join(kept_new, on="key", how="anti")
    both = kept_old.join(kept_new, on="key", how="inner", suffix="_new", maintain_order="left")
    changed = both.filter(pl.any_horizontal(_differs(field) for field in FIELDS))
    task = brief.project.task
    return DataDiff(
        before=before,
        after=after,
        n_parts_shared=len(shared),
        n_parts_compared=len(olds) + len(news),
        raw_came=new.join(old, on="key", how="anti").height,
        raw_went=old.join(new, on="key", how="anti").height,
        came=_by_split(came),
        went=_by_split(went),
        changed={field: changed.filter(_differs(field)).height for field in FIELDS},
        n_changed=changed.height,
        n_moved=changed.filter(_differs("split") & ~_differs("group")).height,
        fates=_fate_changes(old, new),
        labels=_label_changes(kept_old, kept_new, task) if task in ("classify", "extract") else (),
        findings=_finding_changes(*datasets),
        came_rows=_shown(vault, news, came.head(n_rows), old, "new in its source", brief),
        went_rows=_shown(vault, olds, went.head(n_rows), new, "no longer in its source", brief),
        changed_rows=_changed(vault, olds, news, changed.head(n_rows), brief),
    )


def _key(part: DatasetPart) -> tuple[object, ...]:
    return part.raw, part.examined, part.fates, *sorted(part.tables.items())


def _differs(field: str) -> pl.Expr:
    return pl.col(field) != pl.col(f"{field}_new")


def _rows(vault: Vault, pairs: Pairs) -> pl.DataFrame:
    """Return each raw row of parts, what became of it, and of those kept what can change, long texts as hashes.

    `key` is the id that the row came with, numbered where several came with one; `part` is the place of its part.
    """
    found = [_of_part(vault, pair, place) for place, pair in enumerate(pairs)]
    table = pl.concat(found) if found else pl.DataFrame(schema=_ROWS)
    number = pl.int_range(pl.len()).over("key")
    return table.with_columns(
        pl.when(number > 0).then(pl.format("{} ({})", "key", number)).otherwise("key").alias("key")
    )


def _of_part(vault: Vault, pair: tuple[RawPart, DatasetPart], place: int) -> pl.DataFrame:
    raw, part = pair
    came = scan((vault.get(raw.table),)).select(pl.col("id").alias("key")).collect()
    kept = [
        examples_of(vault, part, split, ["source", "reference", "input", "group", "slices"]).select(
            "source",
            "reference",
            pl.col("input").hash().alias("text"),
            pl.col("group").hash(),
            pl.col("slices").hash(),
        )
        for split in SPLITS
    ]
    became = pl.when(pl.col("fate") == "kept").then(pl.lit(KEPT)).otherwise(pl.format("{}: {}", "fate", "reason"))
    return (
        pl.concat([came, fates_of(vault, part)], how="horizontal")
        .with_columns(became.alias("became"), pl.lit(place, dtype=pl.Int64).alias("part"))
        .join(pl.concat(kept).unique("source", keep="first"), on="source", how="left", maintain_order="left")
        .select(list(_ROWS))
    )


def _by_split(table: pl.DataFrame) -> dict[str, int]:
    return dict.fromkeys(SPLITS, 0) | dict(table["split"].value_counts().iter_rows())


def _fate_changes(old: pl.DataFrame, new: pl.DataFrame) -> tuple[FateChange, ...]:
    both = old.select("key", "became").join(new.select("key", "became", "source"), on="key", suffix="_new")
    changes = (
        both.filter(_differs("became"))
        .sort("source")
        .group_by("became", "became_new", maintain_order=True)
        .agg(pl.len().alias("n"), pl.col("source").head(MOST_EXAMPLES))
        .sort("n", descending=True, maintain_order=True)
    )
    return tuple(FateChange(before, after, n, tuple(sources)) for before, after, n, sources in changes.iter_rows())


def _label_changes(old: pl.DataFrame, new: pl.DataFrame, task: str) -> tuple[CountChange, ...]:
    """Return how many examples of each label came and went: those whose label changed did both."""
    about = ["key", "reference", "split"]
    came = _label_counts(new.join(old, on=about, how="anti"), task)
    went = _label_counts(old.join(new, on=about, how="anti"), task)
    moved = {name: sum(came.get(name, {}).values()) + sum(went.get(name, {}).values()) for name in (*came, *went)}
    names = sorted(moved, key=lambda name: (-moved[name], name))
    return tuple(CountChange(name, dict(came.get(name, {})), dict(went.get(name, {}))) for name in names)


def _label_counts(table: pl.DataFrame, task: str) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for reference, split, n in table.group_by("reference", "split").len().iter_rows():
        for name in names_in(reference, task):
            counts.setdefault(name, Counter())[split] += n
    return counts


def _finding_changes(old: Dataset, new: Dataset) -> tuple[FindingChange, ...]:
    before, after = (
        {(each.step, each.fate, each.reason): each.n_rows for each in dataset.findings} for dataset in (old, new)
    )
    every = dict.fromkeys((*after, *before))
    return tuple(
        FindingChange(*about, before.get(about, 0), after.get(about, 0))
        for about in every
        if before.get(about, 0) != after.get(about, 0)
    )


# examples


def _shown(
    vault: Vault, pairs: Pairs, table: pl.DataFrame, other: pl.DataFrame, otherwise: str, brief: Brief
) -> tuple[ShownRow, ...]:
    """Return examples, each with what it was or is in the other version as its detail."""
    texts = _texts(vault, pairs, table, brief)
    became = dict(other.filter(pl.col("key").is_in(table["key"].to_list())).select("key", "became").iter_rows())
    return tuple(
        ShownRow(source, "kept", became.get(key, otherwise), texts[source]["text"], split)
        for key, source, split in table.select("key", "source", "split").iter_rows()
    )


def _changed(vault: Vault, olds: Pairs, news: Pairs, table: pl.DataFrame, brief: Brief) -> tuple[ChangedRow, ...]:
    late = table.select(pl.col(f"{name}_new").alias(name) for name in ("source", "split", "part"))
    before, after = _texts(vault, olds, table, brief), _texts(vault, news, late, brief)
    found = []
    for row in table.iter_rows(named=True):
        what = tuple(field for field in FIELDS if row[field] != row[f"{field}_new"])
        told = [field for field in what if field != "group"]  # of most it is a hash
        said = [
            "; ".join(f"{field} {fields[field]!r}" for field in told if fields[field])
            for fields in (before[row["source"]], after[row["source_new"]])
        ]
        found.append(ChangedRow(row["key"], what, *said))
    return tuple(found)


def _texts(vault: Vault, pairs: Pairs, table: pl.DataFrame, brief: Brief) -> dict[str, Mapping[str, str]]:
    """Return what is shown of examples, by source: their fields in words, personal data masked."""
    task, found = brief.project.task, {}
    for place, split in table.select("part", "split").unique(maintain_order=True).iter_rows():
        sources = table.filter((pl.col("part") == place) & (pl.col("split") == split))["source"].to_list()
        columns = ["source", "input", "reference", "slices"]
        rows = examples_of(vault, pairs[place][1], split, columns).filter(pl.col("source").is_in(sources))
        texts = [""] * rows.height if split == "guard" else masked_texts(rows["input"].to_list(), brief.data, task)
        for row, text in zip(rows.iter_rows(named=True), texts, strict=True):
            reference = shortened(row["reference"]) if task == "classify" else ""
            found[row["source"]] = {**row, "text": shortened(text, task), "reference": reference, "split": split}
    return found
