"""Texts that are almost the same: in a less protected split than another or known from a benchmark, which would make
every candidate look better than it is, and within one split, where they count more often than they should.

Takes rows in their splits without exact repeats, gives those that stay. What is alike is for near_pairs to say.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.data import Finding
from lifeloop.core.data_brief import Contamination, NearDuplicates
from lifeloop.guards.guard import Checked, Texts, comparable, finding, taken_out
from lifeloop.guards.near.candidates import Asked, Places
from lifeloop.guards.near.pairs import Pairs, near_pairs
from lifeloop.guards.near.sketch import sketches
from lifeloop.guards.splits.assigning import PROTECTION

_LEAK = "almost the same as a text in a more protected split"
_KNOWN = "almost the same as a known benchmark item"
_NEAR = "almost the same as another row of its split"
_BENCHMARK = max(PROTECTION.values()) + 1
_TRAINS = (PROTECTION["train"],)
_CHOOSES = (PROTECTION["train"], PROTECTION["validation"])
"""What training and selection read. Test and guard both only judge: one that is near the other flatters nobody."""

Out = dict[int, tuple[str, str]]


class Rows(Struct, frozen=True):
    """The rows, and after them the known benchmark items, by place."""

    table: pl.DataFrame
    benchmarks: tuple[str, ...]
    """Normalised."""
    level: NDArray[np.int8]
    """How protected each is; benchmark items are the most."""
    reference: Places
    """The number of each one's reference."""


def check_near(
    table: pl.DataFrame,
    texts: Texts,
    near: NearDuplicates,
    contamination: Contamination,
    benchmarks: Sequence[str],
    *,
    same_reference: bool = False,
) -> Checked:
    """Return the rows without those that are almost the same as a better protected one, or told of them all.

    `benchmarks` are the inputs of known benchmark items. With `same_reference`, a row only leaks if the other has the
    reference too: a short text with one other word and another label is no copy.
    """
    rows = _rows(table, benchmarks)
    if table.is_empty() or not (near.on or contamination.on):
        return Checked(table, {}, {}, ())
    pairs = _pairs(rows, texts, near, contamination, same_reference)
    leaks, told = _contaminated(rows, pairs, contamination)
    alike, told_alike = _alike(rows, pairs, near, leaks)
    first = taken_out(table, leaks, "contamination", "dropped")
    then = taken_out(first.table, alike, "near duplicates", "dropped")
    findings = (*first.findings, *told, *then.findings, *told_alike)
    return Checked(then.table, {**first.fates, **then.fates}, {}, findings)


def _rows(table: pl.DataFrame, benchmarks: Sequence[str]) -> Rows:
    known = tuple(dict.fromkeys(comparable(text) for text in benchmarks))
    level = table["split"].replace_strict(PROTECTION, return_dtype=pl.Int8).to_numpy()
    reference = table["reference"].rank("dense").to_numpy().astype(np.int64)
    return Rows(
        table=table,
        benchmarks=known,
        level=np.concatenate([level, np.full(len(known), _BENCHMARK, dtype=np.int8)]),
        reference=np.concatenate([reference, np.full(len(known), -1)]),
    )


def _pairs(rows: Rows, texts: Texts, near: NearDuplicates, contamination: Contamination, same_reference: bool) -> Pairs:
    """Return near pairs of rows of one split, where they are asked for, and of rows that contaminate.

    Each split and the benchmark items are a kind of their own: the many that a row is near to in one of them crowd out
    none that it leaks from in another.
    """

    def kinds(left: Places, right: Places) -> NDArray[np.int8]:
        one, other = rows.level[left], rows.level[right]
        within = (one == other) & (one < _BENCHMARK) & near.on
        across = (one != other) & contamination.on
        most = np.maximum(one, other)
        if same_reference:
            across &= (most == _BENCHMARK) | (rows.reference[left] == rows.reference[right])
        return np.where(across, most + 1, within).astype(np.int8)

    def normalised(places: Places) -> list[str]:
        own = places[places < rows.table.height]
        read = [comparable(text) for text in texts(rows.table["row"].gather(own).to_list())]
        return read + [rows.benchmarks[place - rows.table.height] for place in places[len(own) :]]

    least = [each.similarity for each in (near, contamination) if each.on]
    sketch = rows.table["sketch"]
    if rows.benchmarks:
        sketch = pl.concat([sketch, sketches(rows.benchmarks).alias("sketch")])
    family = rows.reference if same_reference and contamination.on else None
    return near_pairs(sketch, Asked(min(least), _rank(rows), kinds, normalised, family))


def _rank(rows: Rows) -> Places:
    """Return the rank of each: the most protected first, and then by content, whatever the order of the rows."""
    key = rows.table["key"].str.to_integer(base=16, dtype=pl.UInt64).to_numpy()
    key = np.concatenate([key, np.arange(len(rows.benchmarks), dtype=np.uint64)])
    rank = np.empty(len(key), dtype=np.int64)
    rank[np.lexsort((rows.reference, key, -rows.level))] = np.arange(len(key))
    return rank


def _contaminated(rows: Rows, pairs: Pairs, settings: Contamination) -> tuple[Out, tuple[Finding, ...]]:
    """Return the rows to drop because of others, and findings about those that are only reported.

    From the most protected split down: what is dropped itself makes no other row go.
    """
    out: Out = {}
    told: Out = {}
    if settings.on:
        left_first = rows.level[pairs.left] < rows.level[pairs.right]
        low, high = np.where(left_first, (pairs.left, pairs.right), (pairs.right, pairs.left))
        across = (rows.level[low] < rows.level[high]) & (pairs.similarity >= settings.similarity - 1e-9)
        order = np.flatnonzero(across)
        order = order[np.lexsort((high[order], -pairs.similarity[order], low[order]))]
        gone = np.zeros(len(rows.level), dtype=np.bool_)
        for level in sorted(PROTECTION.values(), reverse=True):
            for known in (False, True):
                found = order[(rows.level[low[order]] == level) & ((rows.level[high[order]] == _BENCHMARK) == known)]
                found = found[~gone[low[found]] & ~gone[high[found]]]
                found = found[np.unique(low[found], return_index=True)[1]]
                drop = settings.action == "drop" and level in (_TRAINS if known else _CHOOSES)
                said = _said(rows, low[found], high[found], pairs.similarity[found])
                if drop:
                    out |= said
                else:
                    told = said | told
                gone[low[found]] |= drop
    return out, _told(rows, told)


def _said(rows: Rows, low: Places, high: Places, similarity: NDArray[np.float64]) -> Out:
    """Return reason and detail by row."""
    n = rows.table.height
    others = rows.table.select("source", "split")[np.minimum(high, n - 1)]
    pairs = zip(rows.table["row"].gather(low), high.tolist(), others.iter_rows(), similarity.tolist(), strict=True)
    return {
        row: (_KNOWN, f"item {place - n + 1}: {alike:.2f} alike")
        if place >= n
        else (_LEAK, f"{source}, in {split}: {alike:.2f} alike")
        for row, place, (source, split), alike in pairs
    }


def _told(rows: Rows, told: Out) -> tuple[Finding, ...]:
    """Return a finding for each reason of rows that stay all the same."""
    sources: dict[str, list[str]] = {}
    for row, source in rows.table.filter(pl.col("row").is_in(list(told))).select("row", "source").iter_rows():
        sources.setdefault(told[row][0], []).append(source)
    return tuple(finding("contamination", "kept", reason, found) for reason, found in sources.items())


def _alike(rows: Rows, pairs: Pairs, settings: NearDuplicates, gone: Out) -> tuple[Out, tuple[Finding, ...]]:
    """Return the rows to drop because another of their split is kept, and the finding where none is to be dropped."""
    if not settings.on:
        return {}, ()
    left = rows.table["row"].is_in(list(gone)).to_numpy()
    stays = np.concatenate([~left, np.zeros(len(rows.benchmarks), dtype=np.bool_)])
    within = rows.level[pairs.left] == rows.level[pairs.right]
    within &= stays[pairs.left] & stays[pairs.right] & (pairs.similarity >= settings.similarity - 1e-9)
    clusters = _clusters(rows, pairs.left[within], pairs.right[within])
    if clusters.is_empty():
        return {}, ()
    if settings.action == "drop":
        first = pl.col("row", "source").first().over("cluster", "reference").name.suffix("_kept")
        again = clusters.with_columns(first).filter(pl.col("row") != pl.col("row_kept"))
        return {row: (_NEAR, f"of {source}") for row, source in again.select("row", "source_kept").iter_rows()}, ()
    largest_first = clusters.sort(pl.len().over("cluster"), "cluster", "row", descending=[True, False, False])
    return {}, (finding("near duplicates", "kept", _NEAR, largest_first["source"].to_list()),)


def _clusters(rows: Rows, left: Places, right: Places) -> pl.DataFrame:
    """Return row, source, reference and cluster of rows that pairs link, in order of the rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    places, ends = np.unique(np.concatenate([left, right]), return_inverse=True)
    links = coo_array((np.ones(len(left), dtype=np.int8), (ends[: len(left)], ends[len(left) :])), [len(places)] * 2)
    _, cluster = connected_components(links, directed=False)
    return rows.table.select("row", "source", "reference")[places].with_columns(cluster=pl.Series(cluster))
