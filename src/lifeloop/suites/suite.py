"""The seam of suites: a suite gives the same examples under harder conditions, with the same references."""

from collections.abc import Sequence
from typing import Protocol

from lifeloop.core.data import Example


class Suite(Protocol):
    """What the registry holds for each suite."""

    version: str
    """Changed by hand when the same examples would be changed differently."""
    tasks: tuple[str, ...]
    """The tasks whose references stay right; empty for all."""

    def change(self, examples: Sequence[Example], seed: int) -> list[Example]:
        """Return the examples, in order, with the same ids and references and other inputs."""
