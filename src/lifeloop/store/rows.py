"""The rows of the ledger as frozen types: what its tables hold, one type a table.

Knows nothing of databases; `ledger` writes and reads them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from lifeloop.core.content import Id
from lifeloop.core.events import Event, Feedback


class CycleRow(Struct, frozen=True):
    """One pass of the loop: what it works on, fixed when it starts."""

    number: int
    inputs: Id
    brief: Id
    feedback_until: int
    at: float


class RunRow(Struct, frozen=True):
    """One stage run that completed."""

    key: Id
    cycle: int
    stage: str
    subject: str
    inputs: dict[str, str]
    output: Id
    seconds: float
    at: float
    version: str


class VerdictRow(Struct, frozen=True):
    """A verdict as the ledger lists it; the whole is in the vault under its id."""

    id: Id
    cycle: int
    decision: str
    challenger: Id
    champion: Id
    reason: str
    at: float
    override_by: str = ""
    """Who promoted it against the gate; "" where the gate decided."""


class ChainedRow(Struct, frozen=True):
    """A verdict's row with its place in the chain of hashes."""

    sequence: int
    row: VerdictRow
    previous: Id
    hash: Id
    expected: Id
    """The hash that its content and `previous` have now."""


class ReleaseRow(Struct, frozen=True):
    """A release as the ledger lists it."""

    sequence: int
    id: Id
    verdict: Id
    candidate: Id
    name: str
    at: float


def path(history: Sequence[ReleaseRow]) -> list[ReleaseRow]:
    """Return the releases that led to the last one, oldest first.

    A release that comes back takes those that came after it off the path: what was rolled back is not gone back to.
    """
    led: list[ReleaseRow] = []
    for row in history:
        known = next((place for place, other in enumerate(led) if other.id == row.id), None)
        led = [*led, row] if known is None else [*led[:known], row]
    return led


class RolloutRow(Struct, frozen=True):
    """Where a release stands on its way to all traffic. Rows are only added; the last one is how things stand."""

    sequence: int
    release: Id
    control: Id
    """The release in production meanwhile."""
    strategy: str
    phase: str
    """"running", "promoted" or "rolled_back"."""
    step: int
    share: float
    """Of the traffic that it gets; of a shadow, of the requests that it is asked unseen."""
    settings: str
    """JSON of the brief's release.rollout when it began."""
    reason: str
    by: str
    """Who decided; "" where the figures did."""
    at: float


class Traffic(Struct, frozen=True):
    """How traffic is split now."""

    production: ReleaseRow | None
    previous: ReleaseRow | None
    """What production would go back to; None where there is nothing."""
    rollout: RolloutRow | None
    """The running rollout; None while there is none."""


class ServedRow(NamedTuple):
    """What a rollout counts of one event that somebody was shown."""

    sequence: int
    at: float
    event: str
    release: Id
    failed: bool
    """Its candidate gave no whole answer: another stood in, or nobody did."""
    abandoned: bool
    """The client left, or the gateway stopped, before its candidate was done, which had not failed until then."""
    silent: bool
    """There was no output until then."""
    seconds: float
    user_key: str


class JudgedRow(NamedTuple):
    """What a rollout counts of one feedback."""

    sequence: int
    event: str
    at: float
    """When the event was served."""
    release: Id
    user_key: str
    rating: float | None
    label: str | None
    output: str


class ShadowRow(NamedTuple):
    """An answer that nobody saw beside the one that was shown instead."""

    sequence: int
    at: float
    output: str
    shown: str
    failed: bool
    shown_failed: bool
    seconds: float
    shown_seconds: float
    usd: float
    shown_usd: float
    user_key: str


class KeyRow(Struct, frozen=True):
    """What became of an API key. Rows are only added; the last one of an id is how that key stands."""

    sequence: int
    id: str
    """Public: the part of the key before its secret."""
    action: str
    """"created", "rotated", "limited" or "revoked"."""
    name: str
    hash: str
    """SHA-256 of the secret, hexadecimal; "" where it is revoked."""
    previous_hash: str
    overlap: float
    """Until when (seconds since the epoch) the secret before this one works; 0 for never."""
    expires: float
    """0 for never."""
    scopes: str
    """JSON list of "infer", "feedback", "admin"."""
    projects: str
    """JSON list; empty for the ledger's own."""
    limits: str
    """JSON object."""
    by: str
    at: float


class FeedbackRow(Struct, frozen=True):
    """Feedback with the event it is about."""

    sequence: int
    feedback: Feedback
    event: Event
