"""The plan: what a cycle will need and whether the data can settle the objectives, before anything is spent."""

from msgspec import Struct

from lifeloop.core.candidates import Estimate, Machine
from lifeloop.core.data import Profile


class PlanLine(Struct, frozen=True):
    """One candidate."""

    name: str
    kind: str
    estimate: Estimate
    trial_seconds: float
    """Answering the validation examples."""
    usd: float
    """Endpoint prices for them."""
    too_much: str = ""
    """What of the budget it would break, or ""."""


class ItemsNeeded(Struct, frozen=True):
    """One question that the test split has to answer."""

    question: str
    needed: int
    available: int
    basis: str

    @property
    def enough(self) -> bool:
        """Whether the test split has as many."""
        return self.available >= self.needed


class Plan(Struct, frozen=True):
    """What is to be expected of one cycle."""

    machine: Machine
    profile: Profile
    lines: tuple[PlanLine, ...]
    seconds: float
    usd: float
    memory_gb: float
    within_budget: bool
    items: tuple[ItemsNeeded, ...]
    scope: str
    """narrow, broad or both: the advice."""
    reasons: tuple[str, ...]
    """Why."""
