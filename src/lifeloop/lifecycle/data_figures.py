"""The numbers of a data card: what became of the rows of each source, how long inputs are, how often labels are there.

Takes a dataset's parts from the vault one at a time and adds up; no text is read but those of a sample.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop.core.content import Id
from lifeloop.core.data import SPLITS, Dataset, DatasetPart, Fate, Finding, RawPart, Split
from lifeloop.reports.data_record import Bin, Counted, Loss, Origin, OriginKind, Shares, SliceColumn, Spread
from lifeloop.store.dataset_parts import examined_of, examples_of, fates_of, tables_of
from lifeloop.store.vault import Vault

SAMPLE = 2000
"""Examples of which turns and languages are told."""

_QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
_KINDS: dict[str, OriginKind] = {"feedback": "feedback", "synthetic": "synthetic"}

Pairs = Sequence[tuple[RawPart, DatasetPart]]


class _Typed(Struct):
    """As much of an entity as is counted."""

    type: str


def origins_of(vault: Vault, parts: Pairs, fingerprints: dict[str, Id]) -> tuple[tuple[Origin, ...], Counter[tuple]]:
    """Return each source with what became of its rows, and the number of rows by (fate, reason) of those not kept."""
    rows: dict[str, int] = {}
    fates: dict[str, Counter[Fate]] = {}
    lost: Counter[tuple] = Counter()
    for raw, part in parts:
        counts = fates_of(vault, part).group_by("fate", "reason").len().rows()
        rows[raw.origin] = rows.get(raw.origin, 0) + raw.n_rows
        own = fates.setdefault(raw.origin, Counter())
        for fate, reason, n in counts:
            own[fate] += n
            if fate != "kept":
                lost[fate, reason] += n
    origins = tuple(
        Origin(name, _KINDS.get(name, "source"), n, dict(fates[name]), fingerprints.get(name, ""))
        for name, n in rows.items()
    )
    return origins, lost


def losses_of(lost: Counter[tuple], findings: Sequence[Finding]) -> tuple[Loss, ...]:
    """Return the rows that are in no split by step, fate and reason, in the order in which rows meet the steps."""
    steps: dict[tuple, list[str]] = {}
    for finding in findings:
        of_reason = steps.setdefault((finding.fate, finding.reason), [])
        if finding.step not in of_reason:
            of_reason.append(finding.step)
    order = list(steps)
    known = sorted((about for about in lost if about in steps), key=order.index)
    unknown = sorted(about for about in lost if about not in steps)
    return tuple(Loss(", ".join(steps.get(about, ())), *about, lost[about]) for about in (*known, *unknown))


def lengths_of(vault: Vault, parts: Pairs) -> tuple[tuple[Spread, ...], tuple[Bin, ...]]:
    """Return how long inputs are, by split in characters and words, and all of them by words in bins."""
    found = [
        fates_of(vault, part)
        .filter(pl.col("fate") == "kept")
        .select("row", pl.col("split").cast(pl.Enum(SPLITS)))
        .join(examined_of(vault, part, ["row", "n_chars", "n_words"]), on="row", how="inner")
        .select("split", pl.col("n_chars", "n_words").cast(pl.Int32))
        for _, part in parts
    ]
    if not found:
        return (), ()
    table = pl.concat(found)
    spreads = []
    for split in SPLITS:
        own = table.filter(pl.col("split") == split)
        if own.height:
            spreads.append(Spread(split, own.height, _quantiles(own["n_chars"]), _quantiles(own["n_words"])))
    return tuple(spreads), _bins(table["n_words"])


def _quantiles(values: pl.Series) -> tuple[int, int, int, int, int]:
    least, low, middle, high, most = (int(values.quantile(share, "nearest") or 0) for share in _QUANTILES)
    return least, low, middle, high, most


def _bins(words: pl.Series) -> tuple[Bin, ...]:
    """Return how many inputs fall in bins that grow by half from one to the next, from the least to the most."""
    if not words.len():
        return ()
    most = int(words.max())  # type: ignore[arg-type]
    edges = [0, 1]
    while edges[-1] <= most:
        edges.append(max(edges[-1] + 1, edges[-1] * 3 // 2))
    counts = dict(words.value_counts().iter_rows())
    bins = [
        Bin(low, high - 1, sum(n for value, n in counts.items() if low <= value < high))
        for low, high in itertools.pairwise(edges)
    ]
    there = [place for place, each in enumerate(bins) if each.n]
    return tuple(bins[there[0] : there[-1] + 1])


def references_of(vault: Vault, parts: Pairs, task: str) -> tuple[Counted, ...]:
    """Return how often each label, or for extract each type of entity, is there, the commonest first."""
    if task not in ("classify", "extract"):
        return ()
    return _counted(vault, parts, "reference", lambda reference: names_in(reference, task))


def names_in(reference: str, task: str) -> Sequence[str]:
    """Return what of a reference is counted: its label, or for extract the types of its entities."""
    if task != "extract":
        return (reference,)
    return [entity.type for entity in msgspec.json.decode(reference, type=list[_Typed])]


def slices_of(vault: Vault, parts: Pairs, columns: Sequence[str]) -> tuple[SliceColumn, ...]:
    """Return how often each value of each slice is there, the commonest first."""
    if not columns:
        return ()
    counted = _counted(vault, parts, "slices", lambda text: (text,))
    found = []
    for column in columns:
        by_value: dict[str, Counter[str]] = {}
        for each in counted:
            value = msgspec.json.decode(each.name, type=dict[str, str]).get(column, "")
            by_value.setdefault(value, Counter()).update(each.by_split)
        found.append(SliceColumn(column, _ordered(by_value)))
    return tuple(found)


def _counted(vault: Vault, parts: Pairs, column: str, names: Callable[[str], Iterable[str]]) -> tuple[Counted, ...]:
    by_name: dict[str, Counter[str]] = {}
    for _, part in parts:
        for split in SPLITS:
            for text, n in examples_of(vault, part, split, [column])[column].value_counts().iter_rows():
                for name in names(text):
                    by_name.setdefault(name, Counter())[split] += n
    return _ordered(by_name)


def _ordered(by_name: dict[str, Counter[str]]) -> tuple[Counted, ...]:
    found = (Counted(name, {split: n[split] for split in SPLITS}) for name, n in by_name.items())
    return tuple(sorted(found, key=lambda each: (-each.n, each.name)))


def turns_of(vault: Vault, dataset: Id, task: str) -> Shares | None:
    """Return how many messages the conversations of a sample have, or None for what is no chat."""
    if task != "chat":
        return None
    lengths: Counter[str] = Counter()
    for text in sampled(vault, dataset):
        messages = _messages(text)
        lengths[f"{len(messages)} messages" if len(messages) != 1 else "1 message"] += 1
    return _shares(lengths)


def _messages(text: str) -> list[object]:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return [text]
    return found if isinstance(found, list) else [found]


def shares_of(names: Iterable[str]) -> Shares | None:
    """Return how often each name is there, or None for none."""
    return _shares(Counter(names))


def _shares(counts: Counter[str]) -> Shares | None:
    total = counts.total()
    if not total:
        return None
    return Shares(total, tuple((name, n / total) for name, n in sorted(counts.items(), key=lambda e: (-e[1], e[0]))))


def sampled(vault: Vault, dataset: Id, split: Split = "train") -> list[str]:
    """Return the inputs of about SAMPLE examples of a split, one in so many of each of its tables."""
    every = -(-vault.get_value(dataset, Dataset).counts[split] // SAMPLE) or 1
    return [text for table in tables_of(vault, dataset, split) for text in table["input"].gather_every(every)]
