"""What do users teach us? Feedback becomes rows for the next dataset, which refine trusts no more than any other.

Takes feedback with its events, gives one raw row for each event that somebody taught something about: the answer
that people gave, or the output they confirmed. Knows nothing of splits: a learned row's place follows from its text.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop.core.content import canonical
from lifeloop.core.events import Feedback
from lifeloop.store.tables import RAW_SCHEMA

if TYPE_CHECKING:
    from lifeloop.store.ledger import FeedbackRow

VERSION = "1"
"""Changed by hand when the same feedback would teach other rows."""

CONFIRMS = 0.5
"""A rating from here up says that the output is right; one below 0 that it is wrong."""


class Opinion(Struct, frozen=True):
    """What one rater holds of an event."""

    reference: str = ""
    """What should have come out, or "" where the rater has not said."""
    rejects: bool = False
    """Whether the rater holds the output to be wrong."""


def learn(rows: "Sequence[FeedbackRow]", task: str) -> pl.DataFrame:
    """Return the rows of RAW_SCHEMA that feedback teaches, one an event, in the order of each event's first feedback.

    A rater's latest word counts; those who give no name count as one rater. Where raters disagree, the row has a flaw.
    """
    by_event: dict[str, list[FeedbackRow]] = {}
    for row in sorted(rows, key=lambda row: row.sequence):
        by_event.setdefault(row.event.id, []).append(row)
    taught = [found for said in by_event.values() if (found := _row(said, task))]
    return pl.DataFrame(taught, schema=RAW_SCHEMA, orient="row")


def _row(said: "list[FeedbackRow]", task: str) -> dict[str, str] | None:
    """Return the row that the feedback on one event teaches, or None. `said` is oldest first."""
    event = said[0].event
    output = reference_of(event.output, task)
    opinions: dict[str, Opinion] = {}
    for row in said:
        rater = row.feedback.rater
        # The latest word goes last, so that the newest opinion is the last one.
        opinions[rater] = opinion_after(opinions.pop(rater, Opinion()), row.feedback, output, task)
    references = [each.reference for each in opinions.values() if each.reference]
    if not references:
        return None
    disputed = output in references and any(each.rejects and each.reference != output for each in opinions.values())
    disagree = disputed or len(set(references)) > 1
    source = f"feedback:{event.id}"
    return {
        "id": source,
        "input": event.input,
        "reference": references[-1],
        "group": "",
        "split": "",
        "slices": "{}",
        "source": source,
        "flaw": "raters disagree" if disagree else "",
        "rejected": "",
        "time": "",
    }


def opinion_after(before: Opinion, feedback: Feedback, output: str, task: str) -> Opinion:
    """Return what a rater holds after one more feedback. A comment or a lukewarm rating changes nothing."""
    label = reference_of(feedback.label or "", task)
    if label:
        return Opinion(label, rejects=label != output)
    if feedback.rating is None or 0 <= feedback.rating < CONFIRMS:
        return before
    if feedback.rating >= CONFIRMS:
        return Opinion(output)
    kept = before.reference if before.reference != output else ""  # who now rejects the output takes a "yes" back
    return Opinion(kept, rejects=True)


def reference_of(text: str, task: str) -> str:
    """Return a reference in the one form in which raters' answers can be compared: no outer space, canonical JSON."""
    text = text.strip()
    if task != "extract":
        return text
    try:
        return canonical(msgspec.json.decode(text)).decode()
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text  # refine quarantines what is no list of entities
