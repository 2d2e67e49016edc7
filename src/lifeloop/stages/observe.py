"""Observe: the latest events of a release, in numbers.

Takes events and the feedback on them, gives a summary. Knows nothing of where either is kept or of the task.
"""

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from lifeloop.core.events import ABANDONED, BROKEN_OFF, Event, ProductionSummary
from lifeloop.store.ledger import FeedbackRow

__all__ = ["ABANDONED", "BROKEN_OFF", "by_fallback", "failed", "observe"]

VERSION = "1"
"""Changed by hand when the same events would give another summary."""


def observe(
    events: Sequence[Event],
    feedback: Sequence[FeedbackRow],
    usd_per_hour: float,
    labels: Collection[str] | None = None,
) -> ProductionSummary | None:
    """Return what a release's events come to, or None where there are none.

    Latencies are percentiles over all events, with linear interpolation, in milliseconds. Money is what endpoints
    took plus `usd_per_hour` for the seconds of each event. Feedback on other events is not counted. Shares are over
    the answered events, of the outputs in `labels`, or of all outputs where `labels` is None.
    """
    if not events:
        return None
    latencies = np.array([event.seconds for event in events]) * 1000.0
    p50, p95 = (float(value) for value in np.percentile(latencies, (50, 95)))
    usd = sum(event.usd + event.seconds * usd_per_hour / 3600.0 for event in events)
    outputs = {event.id: event.output for event in events}
    about = [row.feedback for row in feedback if row.feedback.event in outputs]
    return ProductionSummary(
        n_events=len(events),
        n_errors=sum(failed(event) for event in events),
        n_fallbacks=sum(by_fallback(event) for event in events),
        p50_ms=p50,
        p95_ms=p95,
        usd_per_1000=usd / len(events) * 1000.0,
        n_feedback=len(about),
        n_agreeing=sum(item.label is not None and item.label == outputs[item.event] for item in about),
        shares=_shares(events, labels),
    )


def failed(event: Event) -> bool:
    """Return whether the client got no whole answer, through no doing of its own."""
    if not event.error or event.error.startswith(ABANDONED):
        return False
    return not event.output or event.error.startswith(BROKEN_OFF)


def by_fallback(event: Event) -> bool:
    """Return whether another than the released candidate answered."""
    return bool(event.error and event.output) and not event.error.startswith((ABANDONED, BROKEN_OFF))


def _shares(events: Sequence[Event], labels: Collection[str] | None) -> dict[str, float]:
    counts = Counter(event.output for event in events if not event.error or by_fallback(event))
    total = counts.total()
    return {output: n / total for output, n in counts.most_common() if labels is None or output in labels}
