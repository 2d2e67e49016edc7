"""Answers requests with the released candidate, or with the first fallback that can, and says who did and why.

A candidate fails on a request when it raises, gives an answer with an error, breaks the task's contract or takes longer
than the release allows. Takes requests and a loaded release, gives what becomes of each; knows nothing of HTTP.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from lifeloop.core.candidates import Answer, Request
from lifeloop.core.events import Event
from lifeloop.gateway.routing import Live, Member
from lifeloop.gateway.worker import Failure
from lifeloop.tasks.task import Task

log = logging.getLogger(__name__)

MAX_ERROR = 2000
"""Characters of an event's error."""


class Failed(Struct, frozen=True):
    """A candidate that did not answer a request."""

    name: str
    why: str
    """In words for the sender of the request."""
    detail: str = ""
    """In words for the event alone: it may hold what a model said."""

    def __str__(self) -> str:
        return f"{self.name} {self.why}" + (f": {self.detail}" if self.detail else "")


class Asked(Struct, frozen=True):
    """One request as it becomes an event."""

    event: str
    at: float
    """Seconds since the epoch, UTC."""
    input: str
    """As the event keeps it: the text, or for chat the JSON of the messages."""
    request: Request


class Outcome(Struct):
    """What has become of one request. Filled while candidates are asked."""

    member: Member | None = None
    """Who answered; None while nobody has."""
    answer: Answer = Answer(output="")
    prediction: Any = None
    """What the task reads in the output."""
    output: str = ""
    failures: list[Failed] = []
    usd: float = 0.0
    """Money paid over all candidates asked."""
    seconds: float = 0.0
    """Time taken over all candidates asked; of a batch, this request's share."""
    ended: str = ""
    """Why a stream ended before the answer was whole; "" for a whole answer."""


async def answer(task: Task, live: Live, requests: Sequence[Request], outcomes: Sequence[Outcome]) -> None:
    """Fill in what becomes of each request, in order; an outcome left without `member` is one nobody answered."""
    for member in live.members:
        left = [place for place, outcome in enumerate(outcomes) if outcome.member is None]
        for start in range(0, len(left), member.batch_size):
            batch = left[start : start + member.batch_size]
            asked = [requests[place] for place in batch]
            await _ask(task, live, member, asked, [outcomes[place] for place in batch])


async def _ask(
    task: Task, live: Live, member: Member, requests: Sequence[Request], outcomes: Sequence[Outcome]
) -> None:
    """Ask one candidate for a batch; it has the release's time for each request in it."""
    started = time.perf_counter()
    try:
        answers = await member.worker.answer(requests, live.seconds * len(requests))
    except Failure as failure:
        for outcome in outcomes:
            fail(outcome, member, failure)
    else:
        for outcome, said in zip(outcomes, answers, strict=True):
            accept(task, outcome, member, said)
    share = (time.perf_counter() - started) / len(requests)
    for outcome in outcomes:
        outcome.seconds += share


def accept(task: Task, outcome: Outcome, member: Member, said: Answer) -> bool:
    """Let an answer become the outcome if it keeps the task's contract; return whether it did."""
    outcome.usd += said.usd
    if said.error:
        fail(outcome, member, Failure("failed", said.error))
        return False
    try:
        prediction = task.parse(said.output, member.labels)
    except ValueError as error:
        fail(outcome, member, Failure("broke the task's contract", str(error)))
        return False
    outcome.member, outcome.answer, outcome.prediction = member, said, prediction
    outcome.output = prediction if isinstance(prediction, str) else said.output
    return True


def fail(outcome: Outcome, member: Member, failure: Failure) -> None:
    """Note that a candidate did not answer."""
    log.warning("%s %s", member.name, failure.why)
    outcome.failures = [*outcome.failures, Failed(member.name, failure.why, failure.detail)]


def to_event(live: Live, asked: Asked, outcome: Outcome) -> Event:
    """Return the event of a request that is over; where nobody answered, it names the released candidate."""
    member = outcome.member or live.members[0]
    error = "; ".join([*filter(None, [outcome.ended]), *(str(failed) for failed in outcome.failures)])
    return Event(
        id=asked.event,
        at=asked.at,
        release=live.id,
        candidate=member.id,
        name=member.name,
        input=asked.input,
        output=outcome.output,
        confidence=outcome.answer.confidence,
        seconds=outcome.seconds,
        tokens_in=outcome.answer.tokens_in,
        tokens_out=outcome.answer.tokens_out,
        usd=outcome.usd,
        error=error[:MAX_ERROR],
    )


def in_public(outcome: Outcome) -> str:
    """Return why nobody answered, in words for the sender of the request."""
    listed = "; ".join(f"{failed.name} {failed.why}" for failed in outcome.failures)
    return f"No candidate could answer: {listed}."
