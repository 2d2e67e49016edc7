"""Preferences: which of two answers people, or a judge, liked better. Frozen; tables of them live in the vault.

What they are for is alignment. They never judge a candidate: the gate's splits do.
"""

from typing import Literal

from msgspec import Struct

from lifeloop.core.content import Id
from lifeloop.core.data import Finding


class Preference(Struct, frozen=True):
    """One answer that was liked better than another; or one answer alone that was liked, or not."""

    id: str
    """Unique among the preferences of a cycle."""
    input: str
    """What both answers answer, in the form that an example's input has."""
    chosen: str
    """The answer that was liked better; "" where `rejected` was disliked on its own."""
    rejected: str
    """The answer that was liked less; "" where `chosen` was liked on its own."""
    rater: str = ""
    """Who said so; "" where nobody knows."""
    subject: str = ""
    """What the input is about, for comparing subjects; "" where there is no such column."""
    at: float = 0.0
    """When, in seconds since the epoch; 0 where nobody knows."""
    origin: str = "file"
    """Where it came from: "file", "feedback", or "ai:CANDIDATE" for what a model judged."""
    source: str = ""
    """`FILE:ROW`, `feedback:EVENT` or `ai:CANDIDATE:NUMBER`."""
    shown_first: Literal["", "chosen", "rejected"] = ""
    """Which of the two the rater saw first, where that is known."""
    weight: float = 1.0
    """How much it counts in training, from 0 to 1: less where its rater said far more than the others."""

    @property
    def is_pair(self) -> bool:
        """Whether two answers were compared."""
        return bool(self.chosen and self.rejected)


class Doubt(Struct, frozen=True):
    """Why a preference was set aside."""

    preference: str
    """Its id."""
    reason: str
    """The same words for all of a kind."""
    detail: str = ""


class Rater(Struct, frozen=True):
    """What is known of one rater."""

    name: str
    n: int
    """Preferences given."""
    reliability: float | None
    """Probability to say what the truth is, estimated from what others said of the same pairs; None without overlap."""
    n_overlaps: int
    n_doubted: int
    weight: float = 1.0
    """Mean weight of what is kept of theirs."""
    note: str = ""


class Lean(Struct, frozen=True):
    """A bias that was measured in preferences."""

    name: str
    """length, position, slice:VALUE, …"""
    value: float
    """Share of pairs in which the longer (or first, …) answer is the chosen one; 0.5 is none."""
    low: float
    high: float
    n: int
    note: str = ""
    """What was done about it."""


class Preferences(Struct, frozen=True):
    """All preferences of a cycle, trusted and not. Its id is the hash of this value."""

    trusted: Id
    """Parquet of PREFERENCE_SCHEMA (store/preference_tables.py): what training may use."""
    held_out: Id
    """The same, of other inputs: what alignment is watched on."""
    doubted: Id
    """The same, with `reason` and `detail`: quarantined, and reviewable."""
    n_trusted: int
    n_held_out: int
    n_doubted: int
    flip_rate: float
    """Estimated share of the trusted pairs whose order is the wrong one, in [0, 0.5)."""
    raters: tuple[Rater, ...] = ()
    leans: tuple[Lean, ...] = ()
    findings: tuple[Finding, ...] = ()
