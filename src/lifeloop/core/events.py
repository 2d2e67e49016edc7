"""What happened in production, and what people said of it."""

from msgspec import Struct

from lifeloop.core.content import Id

BROKEN_OFF = "broken off: "
"""How the error of an event begins whose candidate failed in the middle of a streamed answer."""
ABANDONED = "abandoned: "
"""How the error of an event begins whose client left before the answer was whole; no fault of the candidate."""


class Event(Struct, frozen=True):
    """One request served."""

    id: str
    at: float
    """Seconds since the epoch, UTC."""
    release: Id
    candidate: Id
    """Who answered: the released candidate or a fallback."""
    name: str
    input: str
    output: str
    confidence: float | None
    seconds: float
    tokens_in: int
    tokens_out: int
    usd: float
    error: str = ""
    """Why the released candidate did not answer, where a fallback did, or why nobody did."""
    shadow_of: str = ""
    """The event whose request this answers unseen, to be compared; "" for what somebody was shown."""
    user_key: str = ""
    """By whom rollouts assign: a hash of the sender's user key; "" where none was given."""
    api_key: str = ""
    """Id of the API key that asked; "" where the gateway asks for none."""


class Feedback(Struct, frozen=True):
    """What a person said of an event."""

    id: str
    event: str
    at: float
    rater: str = ""
    rating: float | None = None
    """In [-1, 1]."""
    label: str | None = None
    """The reference the person gives: the right label, or for other tasks the right answer."""
    comment: str = ""
    better_than: str | None = None
    """The event whose answer to the same input the person likes less than this one's."""


class ProductionSummary(Struct, frozen=True):
    """The latest events of a release in numbers."""

    n_events: int
    n_errors: int
    n_fallbacks: int
    p50_ms: float
    p95_ms: float
    usd_per_1000: float
    n_feedback: int
    n_agreeing: int
    """Feedback with a label that equals the output."""
    shares: dict[str, float]
    """For classify: output to its share of the events."""
