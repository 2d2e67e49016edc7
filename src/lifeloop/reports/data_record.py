"""Everything a data card and a comparison of two versions show.

The lifecycle gathers it from ledger and vault, so that rendering is pure.
"""

from typing import Literal

from msgspec import Struct

from lifeloop.core.content import Id
from lifeloop.core.data import Fate, Finding
from lifeloop.core.data_brief import About, Data

OriginKind = Literal["source", "feedback", "synthetic"]


class DataVersion(Struct, frozen=True):
    """One version of a project's data, as the ledger lists it."""

    number: int
    """1 for the first."""
    id: Id
    cycle: int
    """The cycle that made it."""
    at: float
    """In seconds since the epoch, UTC."""
    counts: dict[str, int]
    """Split to number of examples."""
    n_raw: int
    """Rows as they came."""

    @property
    def n_kept(self) -> int:
        """Number of examples over all splits."""
        return sum(self.counts.values())


class Origin(Struct, frozen=True):
    """One source of rows, and what became of them."""

    name: str
    kind: OriginKind
    n_rows: int
    fates: dict[Fate, int]
    """They add up to `n_rows`."""
    fingerprint: Id
    """Changes whenever its rows do; "" for feedback and synthetic rows, which the ledger and the vault hold."""


class Loss(Struct, frozen=True):
    """Rows that came and are not in any split, for one reason."""

    step: str
    """The step of refining that took them out, "" where no finding says so."""
    fate: Fate
    reason: str
    n_rows: int


class ShownRow(Struct, frozen=True):
    """A row, for people to look at."""

    source: str
    fate: Fate
    detail: str
    text: str
    """Shortened, personal data masked; "" where it is not shown."""
    split: str = ""
    """Where it is kept."""


class FoundRows(Struct, frozen=True):
    """A finding with some of the rows it is about."""

    finding: Finding
    rows: tuple[ShownRow, ...]


class Spread(Struct, frozen=True):
    """How long the inputs of a split are: the least, the 5th percentile, the median, the 95th, and the most."""

    split: str
    n: int
    chars: tuple[int, int, int, int, int]
    words: tuple[int, int, int, int, int]


class Bin(Struct, frozen=True):
    """How many inputs have from `low` to `high` words, both included."""

    low: int
    high: int
    n: int


class Counted(Struct, frozen=True):
    """How often something is there, by split."""

    name: str
    by_split: dict[str, int]

    @property
    def n(self) -> int:
        """Over all splits."""
        return sum(self.by_split.values())


class SliceColumn(Struct, frozen=True):
    """The values of one column of data.slices."""

    column: str
    values: tuple[Counted, ...]


class Shares(Struct, frozen=True):
    """What a sample says of the whole: turns of chats, languages."""

    n_sampled: int
    shares: tuple[tuple[str, float], ...]
    """The commonest first."""


class ChangedRow(Struct, frozen=True):
    """A row that is in both versions and is not the same."""

    id: str
    """As it came."""
    what: tuple[str, ...]
    """Of: text, reference, split, group, slices."""
    before: str
    after: str


class FateChange(Struct, frozen=True):
    """Rows that are in both versions and of which something else became."""

    before: str
    """`kept`, or the fate and its reason."""
    after: str
    n_rows: int
    examples: tuple[str, ...]
    """Up to five sources."""


class CountChange(Struct, frozen=True):
    """How many examples with a label came and went, by split."""

    name: str
    came: dict[str, int]
    went: dict[str, int]


class FindingChange(Struct, frozen=True):
    """A finding that appeared (`before` is 0), disappeared (`after` is 0), or is of other many rows."""

    step: str
    fate: Fate
    reason: str
    before: int
    after: int


class DataDiff(Struct, frozen=True):
    """What changed from one version to another."""

    before: DataVersion
    after: DataVersion
    n_parts_shared: int
    """Parts that both versions have, and that nobody has to compare."""
    n_parts_compared: int
    raw_came: int
    """Rows as they came that only the later version has."""
    raw_went: int
    came: dict[str, int]
    """Split to examples that only the later version has."""
    went: dict[str, int]
    changed: dict[str, int]
    """What changed (text, reference, split, group, slices) to the number of examples."""
    n_changed: int
    n_moved: int
    """Examples whose split changed and whose group did not: there never is one."""
    fates: tuple[FateChange, ...]
    labels: tuple[CountChange, ...]
    findings: tuple[FindingChange, ...]
    came_rows: tuple[ShownRow, ...] = ()
    """Some of them."""
    went_rows: tuple[ShownRow, ...] = ()
    changed_rows: tuple[ChangedRow, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        counted = (self.raw_came, self.raw_went, self.n_changed, *self.came.values(), *self.went.values())
        return not any(counted) and not self.fates and not self.findings


class DataRecord(Struct, frozen=True):
    """One version of the data, whole."""

    project: str
    problem: str
    task: str
    version: DataVersion
    data: Data
    """The data section of the brief that it was made by."""
    about: About
    labels: tuple[str, ...]
    """For classify: of the training split. For extract: the entity types."""
    origins: tuple[Origin, ...]
    losses: tuple[Loss, ...]
    """With the examples of all splits they add up to the rows that came."""
    found: tuple[FoundRows, ...]
    spreads: tuple[Spread, ...]
    bins: tuple[Bin, ...]
    counted: tuple[Counted, ...]
    """Labels or entity types, the commonest first."""
    slices: tuple[SliceColumn, ...]
    turns: Shares | None
    """For chat: messages a conversation."""
    languages: Shares | None
    n_reversible: int
    """Parts whose masks the holder of the key can undo."""
    diff: DataDiff | None
    """Against the version before; None for the first."""
