"""What a trial heard: its answers as a table that grows by columns, and their sums.

Half a million answers as objects would take ten times the memory of their table.
"""

from array import array
from collections.abc import Sequence

import polars as pl

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.engine.cached import Said
from lifeloop.store.tables import answers_to_table


class Heard:
    """The answers of a trial so far. With `repeats`, every example stands there so many times in a row."""

    def __init__(self, repeats: int) -> None:
        self.seconds = array("d")
        """That each answer took."""
        self.n_answers = 0
        self.tokens_in = 0
        self.tokens_out = 0
        self._repeats = repeats
        self._usd = 0.0
        self._n_errors = 0
        self._error = ""
        self._parts: list[pl.DataFrame] = []

    def add(self, examples: Sequence[Example], said: Sequence[Said]) -> list[Answer]:
        """Add a chunk, and return its answers."""
        answers = [each.answer for each in said]
        self._parts.append(answers_to_table([example.id for example in examples], answers, self._repeats))
        self.seconds.extend(each.seconds for each in said)
        self.n_answers += len(answers)
        for answer in answers:
            self.tokens_in += answer.tokens_in
            self.tokens_out += answer.tokens_out
            self._usd += answer.usd
            if answer.error:
                self._n_errors += 1
                self._error = self._error or answer.error
        return answers

    @property
    def mean_usd(self) -> float:
        """Money for an answer, whenever it was paid."""
        return self._usd / max(1, self.n_answers)

    def table(self) -> pl.DataFrame:
        """Return all answers as one table."""
        return pl.concat(self._parts, rechunk=False) if self._parts else answers_to_table([], [])

    def check(self, name: str) -> None:
        """Raise ModelError where there is not one answer without an error."""
        if self._n_errors and self._n_errors == self.n_answers:
            raise ModelError(
                f"not one of {self.n_answers} requests was answered: {self._error}",
                where=f"candidates.{name}",
                fix="mend it and run again; what other candidates did is kept",
            )
