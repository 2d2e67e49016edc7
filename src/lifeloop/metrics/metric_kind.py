"""The seam of metrics: kinds of metric that a brief declares in `[metrics.NAME]`, beside those that a task brings.

To add a kind: one module with a settings type and a `metric`, declared under `lifeloop.metrics`. It gives the same
`Metric` that tasks have, so that intervals, comparisons, slices and objectives need to know nothing of it.
"""

from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from lifeloop.tasks.task import Metric


class Surroundings(Struct, frozen=True):
    """What a metric kind may need beside its settings."""

    task: str
    labels: tuple[str, ...]
    """Of the dataset; empty where the task has none, or where they are not known yet."""
    folder: Path
    """The project's folder, which files that the settings name are relative to."""
    responses: Path | None
    """The cache of responses, for kinds that ask a model; None where nothing may be asked."""


class MetricKind(Protocol):
    """What the registry holds for each kind."""

    settings: type[Struct]
    """The keys of `[metrics.NAME]` besides `kind`, with defaults; frozen, unknown fields forbidden."""
    tasks: tuple[str, ...]
    """The tasks it can score; empty for all."""
    version: str
    """Changed by hand when the same settings would score differently."""

    def files(self, settings: Any) -> tuple[str, ...]:
        """Return the files that the settings name, relative to the project: a change in one makes another metric."""

    def metric(self, name: str, settings: Any, surroundings: Surroundings) -> Metric:
        """Return the metric. Raises BriefError that names the key where the settings or a file are wrong."""
