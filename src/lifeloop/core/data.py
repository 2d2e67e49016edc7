"""Examples, datasets, and what became of every row on the way. Frozen; tables themselves live in the vault."""

from typing import Literal

from msgspec import Struct

from lifeloop.core.content import Id
from lifeloop.core.data_brief import About

Split = Literal["train", "validation", "test", "guard"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test", "guard")

Fate = Literal["kept", "dropped", "quarantined"]


class Example(Struct, frozen=True):
    """One row of a dataset."""

    id: str
    """Unique in the dataset."""
    input: str
    """What goes in: a text, or for chat the JSON of the messages so far."""
    reference: str
    """What should come out: a label, an answer, or for extract the JSON of the entities."""
    group: str
    """What the row belongs to; a group is in one split for ever."""
    slices: dict[str, str] = {}
    """Column to value, for quality by slice."""
    source: str = ""
    """Where the row came from: `FILE:ROW`, `feedback:EVENT`, or `synthetic:MODEL:NUMBER` for what a model wrote."""
    rejected: str = ""
    """For preference pairs: the answer that was liked less. Otherwise ""."""


class RowFate(Struct, frozen=True):
    """What became of one raw row, and why."""

    source: str
    fate: Fate
    reason: str
    detail: str = ""


class Finding(Struct, frozen=True):
    """What a step of refining found, in one line a person can read."""

    step: str
    fate: Fate
    n_rows: int
    reason: str
    examples: tuple[str, ...] = ()
    """Up to five sources of rows it concerns."""


class RawPart(Struct, frozen=True):
    """Some of the raw rows of one source, in order."""

    table: Id
    """Parquet of RAW_SCHEMA."""
    n_rows: int
    origin: str
    """The source they came from."""


class Raw(Struct, frozen=True):
    """All raw rows as they came, in parts. A source that grew shares the parts that did not change."""

    parts: tuple[RawPart, ...]

    @property
    def n_rows(self) -> int:
        """Number of raw rows."""
        return sum(part.n_rows for part in self.parts)


class DatasetPart(Struct, frozen=True):
    """What one raw part became."""

    raw: Id
    """The raw part's table."""
    examined: Id
    """The table after the steps that look at one row alone."""
    settled: Id
    """Hash of what the steps that look at all rows decided of these."""
    tables: dict[Split, Id]
    """The examples of each split; a split that has none of them is not there."""
    fates: Id
    """Parquet: source, fate, reason and detail of each raw row, in order."""


class Dataset(Struct, frozen=True):
    """An immutable table in four splits. Its id is the hash of this value."""

    tables: dict[Split, tuple[Id, ...]]
    """Split to the vault ids of its Parquet tables, in order; all four splits are there."""
    counts: dict[str, int]
    """Split to number of examples."""
    labels: tuple[str, ...]
    """For classify: the labels of the training split, sorted. Otherwise the entity types, or empty."""
    raw: Id
    """The Raw value that it was refined from."""
    parts: tuple[DatasetPart, ...] = ()
    findings: tuple[Finding, ...] = ()
    placements: Id = ""
    """Parquet: every group ever placed in this project, and its split. Later versions keep to it."""
    sealed: tuple[Id, ...] = ()
    """Encrypted tables from mask to what was masked, where the environment had a key."""
    about: About = About()

    @property
    def n_examples(self) -> int:
        """Number of examples over all splits."""
        return sum(self.counts.values())


class Profile(Struct, frozen=True):
    """The numbers of a dataset that estimates rest on."""

    n_train: int
    n_validation: int
    n_test: int
    n_guard: int
    n_labels: int
    mean_chars: float
    """Mean length of an input in characters."""

    @property
    def mean_tokens(self) -> float:
        """Mean length of an input in tokens, at four characters a token."""
        return max(1.0, self.mean_chars / 4.0)
