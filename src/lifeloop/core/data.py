"""Examples, datasets, and what became of every row on the way. Frozen; tables themselves live in the vault."""

from typing import Literal

from msgspec import Struct

from lifeloop.core.content import Id

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
    """Where the row came from: `FILE:ROW`, or `feedback:EVENT`."""


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


class Dataset(Struct, frozen=True):
    """An immutable table in four splits. Its id is the hash of this value."""

    tables: dict[str, Id]
    """Split to the vault id of its Parquet table."""
    counts: dict[str, int]
    """Split to number of examples."""
    labels: tuple[str, ...]
    """For classify: the labels of the training split, sorted. Otherwise the entity types, or empty."""
    raw: Id
    """The table of raw rows that it was refined from."""
    fates: Id
    """The table that says what became of every raw row."""
    findings: tuple[Finding, ...]

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
