"""Labels and slices with so few rows that nothing can be learnt or said of them, and slices labelled otherwise.

Takes the rows that stay, in their splits, and reports: no row is taken out. Reads no text.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.data import Finding
from lifeloop.core.data_brief import Balance
from lifeloop.guards.guard import MOST_EXAMPLES, Checked, finding

CHANCE = 1e-3
"""The probability that chance makes any slice look labelled otherwise."""
STRONGLY = 0.3
"""Cramér's V from which a slice is labelled otherwise than the rest: a medium effect (Cohen, 1988)."""


class Labelled(Protocol):
    """What is needed of a task."""

    def labels(self, references: Sequence[str]) -> tuple[str, ...]:
        """Return the label set that references span."""


class _Slices(Struct, frozen=True):
    named: pl.DataFrame
    """`slices`, `column`, and `slice` as column=value: one row for each slice that rows with that JSON are in."""

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows once for each slice they are in."""
        return rows.join(self.named, on="slices", how="inner", maintain_order="left")


def check_balance(table: pl.DataFrame, settings: Balance, task: Labelled) -> Checked:
    """Report labels (entity types, where references have several) that are rare in train or absent from test, slices
    that are rare in test, and slices whose labels are distributed otherwise than those of all other rows.

    One finding a kind, which names the worst; its rows are those concerned.
    """
    columns = table.select("reference", "split", "slices", "source")
    labels = {reference: task.labels([reference]) for reference in columns["reference"].unique().sort()}
    labelled = _labelled(columns, labels)
    train, test = (labelled.filter(pl.col("split") == split) for split in ("train", "test"))
    slices = _slices(columns["slices"].unique().sort())
    findings = [
        *_rare_labels(train, settings),
        *_untested(train, test),
        *_rare_slices(columns, slices, settings),
        *_labelled_otherwise(slices.of(train), settings),
    ]
    return Checked(table, {}, {}, tuple(findings))


def _labelled(rows: pl.DataFrame, labels: Mapping[str, tuple[str, ...]]) -> pl.DataFrame:
    """Return rows once for each label they have."""
    known = pl.DataFrame(
        {"reference": list(labels), "label": [list(each) for each in labels.values()]},
        schema={"reference": pl.String, "label": pl.List(pl.String)},
    )
    several = rows.join(known.explode("label").drop_nulls(), on="reference", how="inner", maintain_order="left")
    return several.drop("reference")


def _slices(texts: pl.Series) -> _Slices:
    pairs = [
        (text, column, f"{column}={value}")
        for text in texts
        for column, value in sorted(msgspec.json.decode(text or "{}", type=dict[str, str]).items())
    ]
    return _Slices(pl.DataFrame(pairs, schema=dict.fromkeys(("slices", "column", "slice"), pl.String), orient="row"))


def _rare_labels(train: pl.DataFrame, settings: Balance) -> Iterable[Finding]:
    counts = Counter(dict(train["label"].value_counts().iter_rows()))
    if not counts:
        return
    few = {label: n for label, n in counts.items() if n < settings.min_rows}
    if few:
        reason = f"{_number(few, 'label')} with fewer than {settings.min_rows} training rows: {_named(few)}"
        yield _about(train, "label", few, reason)
    commonest, most = min(counts.items(), key=lambda item: (-item[1], item[0]))
    rare = {label: n for label, n in counts.items() if n * settings.ratio < most and label not in few}
    if rare:
        reason = (
            f"{_number(rare, 'label')} more than {settings.ratio:g} times rarer in train than {commonest!r} ({most})"
        )
        yield _about(train, "label", rare, f"{reason}: {_named(rare)}")


def _untested(train: pl.DataFrame, test: pl.DataFrame) -> Iterable[Finding]:
    tested = set(test["label"].unique())
    counts = {label: n for label, n in train["label"].value_counts().iter_rows() if label not in tested}
    if counts and tested:
        reason = f"{_number(counts, 'label')} without a test row (training rows): {_named(counts, largest=True)}"
        yield _about(train, "label", counts, reason)


def _rare_slices(rows: pl.DataFrame, slices: _Slices, settings: Balance) -> Iterable[Finding]:
    everywhere = slices.of(rows)
    tested = dict(everywhere.filter(pl.col("split") == "test")["slice"].value_counts().iter_rows())
    counts = {name: tested.get(name, 0) for name in everywhere["slice"].unique()}
    few = {name: n for name, n in counts.items() if n < settings.min_rows}
    if few:
        reason = f"{_number(few, 'slice')} with fewer than {settings.min_rows} test rows: {_named(few)}"
        yield _about(everywhere, "slice", few, reason)


def _labelled_otherwise(train: pl.DataFrame, settings: Balance) -> Iterable[Finding]:
    """Report slices that are large enough to say so, by the chi-square test with Bonferroni's correction."""
    if not train.height or train["label"].n_unique() < 2:
        return
    labels = train["label"].unique().sort()
    place = train["label"].replace_strict(labels, np.arange(labels.len()), return_dtype=pl.Int64)
    counted = train.with_columns(place.alias("place")).group_by("column", "slice", "place").len()
    tables = {}
    for _, of_column in counted.group_by("column"):
        whole = _counts(of_column, labels.len())
        for (name,), of_slice in of_column.group_by("slice"):
            here = _counts(of_slice, labels.len())
            if min(here.sum(), whole.sum() - here.sum()) >= settings.min_rows:
                tables[str(name)] = np.stack([here, whole - here])
    effects = {name: _effect(table) for name, table in tables.items()}
    strong = {name: v for name, (v, p) in effects.items() if v >= STRONGLY and p * len(effects) < CHANCE}
    if strong:
        worst = sorted(strong, key=lambda name: (-strong[name], name))[:MOST_EXAMPLES]
        said = ", ".join(f"{name} (V = {strong[name]:.2f})" for name in worst)
        reason = f"{_number(strong, 'slice')} labelled otherwise than the other rows: {said}{_rest(strong)}"
        yield _about(train, "slice", strong, reason)


def _counts(counted: pl.DataFrame, n_labels: int) -> NDArray[np.float64]:
    return np.bincount(counted["place"].to_numpy(), counted["len"].to_numpy(), n_labels).astype(np.float64)


def _effect(table: NDArray[np.float64]) -> tuple[float, float]:
    """Return Cramér's V of a table (2, n_labels), corrected for bias (Bergsma, 2013), and the test's p-value."""
    from scipy.special import chdtrc  # the upper tail of chi-square

    table = table[:, table.sum(axis=0) > 0]
    n, n_labels = table.sum(), table.shape[1]
    if n_labels < 2:
        return 0.0, 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / n
    statistic = float(((table - expected) ** 2 / expected).sum())
    freedom = n_labels - 1
    phi = max(0.0, statistic / n - freedom / (n - 1))
    return float(np.sqrt(phi / (1 - 1 / (n - 1)))), float(chdtrc(freedom, statistic))


def _about(rows: pl.DataFrame, column: str, names: Iterable[str], reason: str) -> Finding:
    concerned = rows.filter(pl.col(column).is_in(list(names)))["source"].unique(maintain_order=True)
    return finding("balance", "kept", reason, concerned.to_list())


def _number(names: Mapping[str, float], noun: str) -> str:
    return f"{len(names)} {noun}{'s' if len(names) > 1 else ''}"


def _named(counts: Mapping[str, int], *, largest: bool = False) -> str:
    """Return up to five names with their counts, the rarest first, and how many there are besides."""
    order = sorted(counts, key=lambda name: (-counts[name] if largest else counts[name], name))
    return ", ".join(f"{name} ({counts[name]})" for name in order[:MOST_EXAMPLES]) + _rest(counts)


def _rest(names: Mapping[str, float]) -> str:
    return f" and {len(names) - MOST_EXAMPLES} more" if len(names) > MOST_EXAMPLES else ""
