"""Preferences in feedback: a correction is liked better than what came out, a rating likes an answer or does not, and a
comparison says so itself.

Takes feedback with its events, gives raw rows as `prefer_rows` does for files. Knows nothing of who may be believed.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from lifeloop.core.content import canonical
from lifeloop.core.events import Event
from lifeloop.guards.guard import text_key
from lifeloop.stages import learn
from lifeloop.stages.learn import Opinion, opinion_after, reference_of
from lifeloop.stages.prefer_rows import FIRST, SUBJECT
from lifeloop.store.tables import RAW_SCHEMA

if TYPE_CHECKING:
    from lifeloop.store.ledger import FeedbackRow

VERSION = f"2/{learn.VERSION}"
"""Its first number is changed by hand when the same feedback would give other rows."""


def compared(rows: "Sequence[FeedbackRow]") -> set[str]:
    """Return the ids of the events that `said` must be given besides those of the rows."""
    return {row.feedback.better_than for row in rows if row.feedback.better_than}


def said(rows: "Sequence[FeedbackRow]", others: Mapping[str, Event], task: str) -> pl.DataFrame:
    """Return the rows of RAW_SCHEMA that feedback gives: of each rater one an event, and one a comparison.

    `others` are the events of `compared`, by id. A rater's latest word counts, as `learn` takes it; those who give no
    name count as one rater.
    """
    ordered = sorted(rows, key=lambda row: row.sequence)
    found = [*_of_answers(ordered, task), *_of_comparisons(ordered, others, task)]
    return pl.DataFrame([row for _, row in sorted(found, key=lambda each: each[0])], schema=RAW_SCHEMA, orient="row")


_Numbered = tuple[int, dict[str, str]]
"""A row with the place of the word that it rests on."""


def _of_answers(rows: "Sequence[FeedbackRow]", task: str) -> list[_Numbered]:
    """Return what raters hold of single answers."""
    opinions: dict[tuple[str, str], Opinion] = {}
    last: dict[tuple[str, str], FeedbackRow] = {}
    for row in rows:
        about = (row.event.id, row.feedback.rater)
        before = opinions.get(about, Opinion())
        opinions[about] = opinion_after(before, row.feedback, reference_of(row.event.output, task), task)
        if row.feedback.label or row.feedback.rating is not None:
            last[about] = row
    found = []
    for about, row in last.items():
        output, opinion = reference_of(row.event.output, task), opinions[about]
        if opinion.reference and opinion.reference != output:
            found.append(_row(row, opinion.reference, output))
        elif opinion.reference:
            found.append(_row(row, output, ""))
        elif opinion.rejects:
            found.append(_row(row, "", output))
    return found


def _of_comparisons(rows: "Sequence[FeedbackRow]", others: Mapping[str, Event], task: str) -> list[_Numbered]:
    """Return which of two answers raters like better."""
    last: dict[tuple[str, frozenset[str]], FeedbackRow] = {}
    for row in rows:
        if row.feedback.better_than:
            last[row.feedback.rater, frozenset((row.event.id, row.feedback.better_than))] = row
    found = []
    for row in last.values():
        other, output = others.get(row.feedback.better_than or ""), reference_of(row.event.output, task)
        if other is None:
            found.append(_row(row, output, "", "the event that it is compared with is not there"))
            continue
        worse = reference_of(other.output, task)
        flaw = ""
        if text_key(row.event.input) != text_key(other.input):
            flaw = "answers to different inputs are compared"
        elif not other.output.strip():
            flaw = "the event that it is compared with has no answer"
        elif output == worse:
            flaw = "both answers are the same"
        found.append(_row(row, output, worse, flaw))
    return found


def _row(row: "FeedbackRow", chosen: str, rejected: str, flaw: str = "") -> _Numbered:
    if not flaw and not row.event.output.strip():
        flaw = "the event has no answer"
    about = dict.fromkeys(RAW_SCHEMA, "") | {
        "input": row.event.input,
        "reference": chosen,
        "rejected": rejected,
        "group": row.feedback.rater,
        "slices": canonical({SUBJECT: "", FIRST: ""}).decode(),
        "source": f"feedback:{row.event.id}",
        "flaw": flaw,
        "time": repr(row.feedback.at),
    }
    return row.sequence, about
