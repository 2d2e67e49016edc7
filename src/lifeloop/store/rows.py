"""The rows of the ledger as frozen types: what its tables hold, one type a table.

Knows nothing of databases; `ledger` writes and reads them.
"""

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


class FeedbackRow(Struct, frozen=True):
    """Feedback with the event it is about."""

    sequence: int
    feedback: Feedback
    event: Event
