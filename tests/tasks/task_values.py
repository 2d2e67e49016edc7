"""What a metric says of scored examples: its columns where it applies, averaged and combined."""

from collections.abc import Sequence

import numpy as np

from lifeloop.tasks.task import Metric, Scope, Scored


def value_of(metric: Metric, items: Sequence[Scored], scope: Scope) -> float | None:
    """Return the metric's value, or None where it applies to no example."""
    columns = metric.columns(items, scope)
    kept = columns[~np.isnan(columns).any(axis=1)]
    return float(metric.combine(kept.mean(axis=0))) if len(kept) else None


def in_chunks(metric: Metric, items: Sequence[Scored], scope: Scope, size: int) -> np.ndarray:
    """Return the columns as a long trial computes them: some examples at a time."""
    return np.vstack([metric.columns(items[start : start + size], scope) for start in range(0, len(items), size)])
