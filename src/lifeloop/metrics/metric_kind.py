"""The seam of metrics: kinds of metric that a brief declares in `[metrics.NAME]`, beside those that a task brings.

To add a kind: one module with a settings type and a `metric`, declared under `lifeloop.metrics`. It gives the same
`Metric` that tasks have, so that intervals, comparisons, slices and objectives need to know nothing of it.
"""

from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from lifeloop.core.evidence import Direction
from lifeloop.tasks.task import Metric

BRIEF_FILE = "lifeloop.toml"


class Surroundings(Struct, frozen=True):
    """What a metric kind may need beside its settings."""

    task: str
    labels: tuple[str, ...]
    """Of the dataset; empty where the task has none, or where they are not known yet."""
    folder: Path
    """The project's folder, which files that the settings name are relative to."""
    responses: Path | None
    """The cache of responses, for kinds that ask a model; None where nothing may be asked."""
    cycle: int = 0
    """The cycle that pays for what is asked."""
    usd: float = float("inf")
    """Money that may still be spent on asking."""
    tokens: int = -1
    """Tokens that may still be read and written by remote endpoints; -1 sets no bound."""


class MetricKind(Protocol):
    """What the registry holds for each kind."""

    settings: type[Struct]
    """The keys of `[metrics.NAME]` besides `kind`, with defaults; frozen, unknown fields forbidden."""
    tasks: tuple[str, ...]
    """The tasks it can score; empty for all."""
    version: str
    """Changed by hand when the same settings would score differently."""

    def direction(self, settings: Any) -> Direction:
        """Return whether more or less is better."""

    def files(self, settings: Any) -> dict[str, str]:
        """Return the files that the settings name, by key, relative to the project: another content, another metric."""

    def metric(self, name: str, settings: Any, surroundings: Surroundings) -> Metric:
        """Return the metric. Runs nobody's code and loads no model: that waits until its columns are asked for.

        Raises BriefError that names the key where the settings or a file are wrong.
        """


def key_of(name: str, key: str) -> str:
    """Return where a key of a declared metric stands in the brief, as errors say it."""
    return f"{BRIEF_FILE}: metrics.{name}.{key}"
