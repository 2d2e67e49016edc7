"""The seam between blocks of features: what each can do, whatever it computes.

To add a block: one module with an object that keeps to `BlockKind`, a setting that wants it, and a line in `blocks`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from lifeloop.core.candidates import Request
from lifeloop.core.progress import Progress, silent
from lifeloop.models.feature_settings import Settings

Matrix = Any
"""Rows of numbers, float32 (n, k): a numpy array, or a SciPy matrix where most of them are 0."""


class Fitting(Struct, frozen=True):
    """What blocks are fitted on."""

    requests: Sequence[Request]
    """The training examples, as candidates are asked them."""
    settings: Settings
    project: Path | None = None
    """The project's folder, which files that settings name are relative to."""
    progress: Progress = silent

    @property
    def texts(self) -> list[str]:
        """Their texts."""
        return [request.text for request in self.requests]


class Block(Protocol):
    """A fitted block. Threads may share it."""

    def transform(self, requests: Sequence[Request]) -> Matrix:
        """Return what it computes of each request: (n, k), the same k always. `requests` holds one at least."""

    def save(self, folder: Path) -> None:
        """Write it: plain arrays and JSON, the same bytes for the same training."""


class BlockKind(Protocol):
    """What the list of blocks holds of each."""

    name: str

    def wanted(self, settings: Settings) -> bool:
        """Return whether a candidate of these settings has this block."""

    def fit(self, fitting: Fitting) -> tuple[Block, Matrix] | None:
        """Return the block and what it computes of the training examples; None where it finds nothing in them.

        Raises ModelError or BriefError.
        """

    def load(self, folder: Path, settings: Settings) -> Block:
        """Return the block that `save` wrote. Raises ModelError where something it needs is not installed."""
