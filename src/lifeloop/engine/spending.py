"""What a trial may still spend, and what it has spent: money and tokens that endpoints are paid, and time.

Counts what this trial pays now; what the cache gave was paid before. Knows nothing of models.
"""

import time
from collections.abc import Collection, Iterable

from msgspec import Struct

from lifeloop.core.candidates import Answer
from lifeloop.core.errors import ModelError


class Allowance(Struct, frozen=True):
    """What may still be spent."""

    usd: float = float("inf")
    tokens: int = -1
    """-1 sets no bound."""
    seconds: float = float("inf")


class UsedUpError(Exception):
    """Ends a member's work at the bound that `key` names; whoever runs the trial says so to people."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Meter:
    """Counts what endpoints were paid since it was made, and says when the allowance is used up."""

    def __init__(self, allowance: Allowance) -> None:
        self.usd = 0.0
        self.tokens = 0
        self.n_paid = 0
        self._allowance = allowance
        self._begun = time.monotonic()

    def add(self, answers: Iterable[Answer]) -> tuple[float, int]:
        """Count answers that were paid for. Returns their own sum."""
        usd, tokens = 0.0, 0
        for answer in answers:
            usd += answer.usd
            tokens += answer.tokens_in + answer.tokens_out
            self.n_paid += 1
        self.usd += usd
        self.tokens += tokens
        return usd, tokens

    def used_up(self, under_way: int = 0, answered: int = 0, spends: Collection[str] = ()) -> str:
        """Return the key of the brief whose bound is reached, or "".

        Requests that are `under_way` count as much as the `answered` ones did on average. What another request is sure
        to spend (`Loaded.spends`) must not be at its end before it begins.
        """
        if "usd" in spends and self._allowance.usd <= 0:
            return "usd"
        if "tokens" in spends and self._allowance.tokens == 0:
            return "tokens"
        share = 1 + under_way / answered if answered else 1.0
        if self.usd > 0 and self.usd * share >= self._allowance.usd:
            return "usd"
        if self._allowance.tokens >= 0 and self.tokens > 0 and self.tokens * share >= self._allowance.tokens:
            return "tokens"
        return "minutes" if time.monotonic() - self._begun >= self._allowance.seconds else ""

    def error(self, key: str, done: int, total: int) -> ModelError:
        """Return the error that ends a trial at a bound."""
        words = {"usd": "money", "tokens": "tokens", "minutes": "time"}
        return ModelError(
            f"the budget of {words[key]} is used up after {done} of {total} examples; what was answered is kept",
            where=f"lifeloop.toml: budget.{key}",
            fix="raise it and run again, or leave candidates out",
        )
