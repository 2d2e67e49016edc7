"""Answers requests with the released candidate, or with the first fallback that can, and says who did and why.

A candidate fails on a request when it raises, gives an answer with an error, breaks the task's contract, is held back
by a filter or takes longer than the release allows. Takes requests and a loaded release, gives what becomes of each;
knows nothing of HTTP.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from lifeloop.core.candidates import Answer, Request
from lifeloop.core.events import Event
from lifeloop.gateway.asking.continuity import Continuity
from lifeloop.gateway.asking.one_candidate import ask_in_loop, ask_in_threads
from lifeloop.gateway.endpoints.options import must_be_heeded
from lifeloop.gateway.production.lives import Live
from lifeloop.gateway.production.members import Member
from lifeloop.models.model import Unanswered

if TYPE_CHECKING:  # it holds what calls us
    from lifeloop.gateway.protection.redaction import Redactor
    from lifeloop.gateway.serving import Parts

MAX_ERROR = 2000
"""Characters of an event's error."""
WITHHELD = "gave an answer that was withheld"
"""Why an answer that a filter held back is none, in words for anybody."""
CANNOT = "does not take what the request asks for"
"""Why a candidate that passes no options on was not asked."""


class Withheld(Exception):
    """What a screen raises in the middle of a stream: why, in words for the event alone."""


class Failed(Struct, frozen=True, gc=False):
    """A candidate that did not answer a request."""

    name: str
    why: str
    """In words for the sender of the request."""
    detail: str = ""
    """In words for the event alone: it may hold what a model said."""
    status: int = 0
    """What the endpoint answered; 0 where it answered nothing."""
    wait: float = 0.0
    """Seconds after which asking again may help, where that is known."""

    def __str__(self) -> str:
        return f"{self.name} {self.why}" + (f": {self.detail}" if self.detail else "")


class Asked(Struct, frozen=True, gc=False):
    """One request as it becomes an event."""

    event: str
    at: float
    """Seconds since the epoch, UTC."""
    input: str
    """As the event keeps it: the text, or for chat the JSON of the messages."""
    request: Request
    user_key: str = ""
    """By whom rollouts assign; "" assigns this request alone."""
    api_key: str = ""
    """Id of the key that asked; "" where none is needed."""


class Outcome(Struct, gc=False):
    """What has become of one request. Filled while candidates are asked."""

    member: Member | None = None
    """Who answered; None while nobody has."""
    answer: Answer = Answer(output="")
    prediction: Any = None
    """What the task reads in the output."""
    output: str = ""
    failures: tuple[Failed, ...] = ()
    usd: float = 0.0
    """Money paid over all candidates asked."""
    seconds: float = 0.0
    """Time taken over all candidates asked; of a batch, this request's share."""
    ended: str = ""
    """Why a stream ended before the answer was whole; "" for a whole answer."""
    left: tuple[Member, ...] = ()
    """Who was still being asked when a stream ended or another overtook them: what they did until then is charged."""
    hedged: str = ""
    """Which candidate was overtaken by the one that answered, and how; "" where none was."""


async def answer_one(parts: "Parts", live: Live, request: Request, outcome: Outcome) -> None:
    """Fill in what becomes of a request; an outcome left without `member` is one that nobody answered."""
    for member in live.members:
        if not member.passes_on and must_be_heeded(request):
            skip(outcome, member)
            continue
        health = parts.continuity.of(member.id, member.name)
        try:
            if member.in_loop:
                said = await ask_in_loop(parts.continuity, health, member, request, live.seconds)
            else:
                (said,) = await ask_in_threads(parts.continuity, health, member, (request,), live.seconds)
        except Unanswered as failure:
            fail(parts.continuity, outcome, member, failure)
        except asyncio.CancelledError:
            outcome.left = (member,)
            raise
        else:
            if accept(parts, outcome, member, said):
                return


async def answer(parts: "Parts", live: Live, requests: Sequence[Request], outcomes: Sequence[Outcome]) -> None:
    """Fill in what becomes of each request, in order; each candidate has the release's time for each request."""
    for member in live.members:
        left = []
        for request, outcome in zip(requests, outcomes, strict=True):
            if outcome.member is not None:
                continue
            if not member.passes_on and must_be_heeded(request):
                skip(outcome, member)
            else:
                left.append((request, outcome))
        if member.in_loop:
            rest = iter(left)
            n_at_once = min(member.batch_size, len(left))
            await asyncio.gather(*(_ask_the_rest(parts, live, member, rest) for _ in range(n_at_once)))
        else:
            for start in range(0, len(left), member.batch_size):
                await _ask_batch(parts, live, member, left[start : start + member.batch_size])


async def _ask_the_rest(parts: "Parts", live: Live, member: Member, rest: Iterator[tuple[Request, Outcome]]) -> None:
    """Ask a candidate in the loop for one request after another, beside others that take from the same ones."""
    continuity = parts.continuity
    health = continuity.of(member.id, member.name)
    for request, outcome in rest:
        started = continuity.now()
        try:
            said = await ask_in_loop(continuity, health, member, request, live.seconds)
        except Unanswered as failure:
            fail(continuity, outcome, member, failure)
        else:
            accept(parts, outcome, member, said)
        outcome.seconds += continuity.now() - started


async def _ask_batch(parts: "Parts", live: Live, member: Member, batch: Sequence[tuple[Request, Outcome]]) -> None:
    """Ask a candidate in threads for requests that it answers together."""
    continuity = parts.continuity
    health = continuity.of(member.id, member.name)
    started = continuity.now()
    requests = [request for request, _ in batch]
    try:
        answers = await ask_in_threads(continuity, health, member, requests, live.seconds * len(batch))
    except Unanswered as failure:
        for _, outcome in batch:
            fail(continuity, outcome, member, failure)
    else:
        for (_, outcome), said in zip(batch, answers, strict=True):
            accept(parts, outcome, member, said)
    share = (continuity.now() - started) / len(batch)
    for _, outcome in batch:
        outcome.seconds += share


def accept(parts: "Parts", outcome: Outcome, member: Member, said: Answer) -> bool:
    """Let an answer become the outcome if it keeps the task's contract and no filter holds it back; return whether."""
    outcome.usd += said.usd
    if said.error:
        fail(parts.continuity, outcome, member, Unanswered("failed", said.error))
        return False
    try:
        prediction = read(parts, member, said)
    except Unanswered as failure:
        fail(parts.continuity, outcome, member, failure)
        return False
    outcome.member, outcome.answer, outcome.prediction = member, said, prediction
    outcome.output = prediction if isinstance(prediction, str) else said.output
    return True


def read(parts: "Parts", member: Member, said: Answer) -> Any:
    """Return what the task reads in an answer; an endpoint's own choices need no text.

    Raises Unanswered where it breaks the contract or is withheld.
    """
    if said.choices and not said.output.strip():
        prediction: Any = said.output
    else:
        try:
            prediction = parts.serving.task.parse(said.output, member.labels)
        except ValueError as error:
            raise Unanswered("broke the task's contract", str(error), passing=False) from None
    if withheld := parts.filters.check_output(member.id, said.output, said.choices, said.finish):
        raise Unanswered(WITHHELD, withheld, passing=False)
    return prediction


def fail(continuity: Continuity, outcome: Outcome, member: Member, failure: Unanswered) -> None:
    """Note that a candidate did not answer."""
    continuity.of(member.id, member.name).warn(failure.why, continuity.now())
    failed = Failed(member.name, failure.why, failure.detail, failure.status, failure.wait)
    outcome.failures = (*outcome.failures, failed)


def skip(outcome: Outcome, member: Member) -> None:
    """Note that a candidate was not asked, since it would not heed what the request asks for."""
    outcome.failures = (*outcome.failures, Failed(member.name, CANNOT))


def to_event(live: Live, asked: Asked, outcome: Outcome, redact: "Redactor | None" = None) -> Event:
    """Return the event of a request that is over; where nobody answered, it names the released candidate.

    What is personal is masked before the error is cut: half an address would be none to find.
    """
    member = outcome.member or live.members[0]
    answer = outcome.answer
    error = ""
    if outcome.failures or outcome.ended or outcome.hedged:
        error = "; ".join(filter(None, (outcome.ended, outcome.hedged, *map(str, outcome.failures))))
    event = Event(
        id=asked.event,
        at=asked.at,
        release=live.id,
        candidate=member.id,
        name=member.name,
        input=asked.input,
        output=outcome.output or answer.choices,
        confidence=answer.confidence,
        seconds=outcome.seconds,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        usd=outcome.usd,
        error=error,
        user_key=asked.user_key,
        api_key=asked.api_key,
    )
    if redact is not None:
        event = redact(event)
    return event if len(event.error) <= MAX_ERROR else msgspec.structs.replace(event, error=event.error[:MAX_ERROR])


def in_public(outcome: Outcome) -> str:
    """Return why nobody answered, in words for the sender of the request."""
    listed = "; ".join(f"{failed.name} {failed.why}" for failed in outcome.failures)
    return f"No candidate could answer: {listed}."
