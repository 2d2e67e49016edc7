"""How a stream begins: candidates are asked in turn until one gives a first piece, unseen by the client until then.

A failure before the first piece goes to the next candidate, as for whole answers. Where the brief wants it, a candidate
that stays silent is overtaken by the next one. Knows nothing of clients or of what becomes of the stream.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from lifeloop.core.candidates import Answer, Choices, Request
from lifeloop.gateway.asking.answering import Outcome, fail, read, skip
from lifeloop.gateway.asking.calls import as_unanswered
from lifeloop.gateway.asking.continuity import Health
from lifeloop.gateway.asking.hedging import first_to_speak
from lifeloop.gateway.asking.one_candidate import again
from lifeloop.gateway.endpoints.options import must_be_heeded
from lifeloop.gateway.production.lives import Live
from lifeloop.gateway.production.members import Member
from lifeloop.models.model import Unanswered

if TYPE_CHECKING:  # it holds what calls us
    from lifeloop.gateway.serving import Parts

Piece = str | Choices | Answer


class Opened(Struct):
    """A stream that has begun. Whoever has it closes `pieces` and reports its end with `ticket`."""

    member: Member
    health: Health
    ticket: int
    pieces: Any
    """Asynchronous iterator of what follows, with `aclose`."""
    first: Piece
    prediction: Any = None
    """What the task reads in `first`, where that is the whole answer."""


async def open_stream(parts: "Parts", live: Live, request: Request, outcome: Outcome) -> Opened | None:
    """Return the first stream that begins, or None where none does; `outcome` learns of the failures."""
    needs = must_be_heeded(request)
    members = []
    for member in live.members:
        if needs and not member.passes_on:
            skip(outcome, member)
        else:
            members.append(member)
    if parts.continuity.settings.hedge_seconds and len(members) > 1:
        return await _open_hedged(parts, live, members, request, outcome)
    for member in members:
        try:
            return await _open(parts, live, member, request, outcome)
        except Unanswered as failure:
            fail(parts.continuity, outcome, member, failure)
    return None


async def _open_hedged(
    parts: "Parts", live: Live, members: list[Member], request: Request, outcome: Outcome
) -> Opened | None:
    continuity = parts.continuity
    silence = continuity.settings.hedge_seconds
    asks: list[Callable[[], Coroutine[Any, Any, Opened]]] = [
        partial(_open, parts, live, member, request, outcome) for member in members
    ]
    found = await first_to_speak(
        asks,
        silence,
        may_hedge=lambda: continuity.of(members[0].id, members[0].name).budget.take(continuity.now()),
        failed=lambda number, failure: fail(continuity, outcome, members[number], failure),
        discard=partial(_discard, parts),
    )
    if found is None:
        return None
    number, opened, silent = found
    overtaken = [members[other].name for other in silent if other < number]
    if overtaken:
        outcome.hedged = f"hedged: {overtaken[0]} was silent for {silence:g} s"
    return opened


async def _open(parts: "Parts", live: Live, member: Member, request: Request, outcome: Outcome) -> Opened:
    """Return one candidate's stream with its first piece, which it has the release's time for in all: retries, and
    whatever else comes before it, included. From then on that time is the longest silence. Raises Unanswered.
    """
    continuity = parts.continuity
    health = continuity.of(member.id, member.name)
    now = continuity.now()
    until = now + live.seconds
    ticket = health.admit(now)
    attempt = 0
    while True:
        pieces = None
        try:
            ask = member.model.stream_in_loop if member.in_loop else member.worker.stream
            pieces = ask(request, live.seconds)
            if attempt:  # a first attempt watches over that time itself, at no cost
                async with asyncio.timeout(until - continuity.now()):
                    first = await something(pieces, live.seconds)
            else:
                first = await something(pieces, live.seconds)
            prediction = _prediction(parts, member, first, outcome)
        except TimeoutError:
            failure = _silent(live.seconds)
        except Exception as error:
            failure = as_unanswered(error)
        except BaseException:  # cancelled: it says nothing of the candidate
            outcome.left = (*outcome.left, member)
            health.breaker.forget(ticket, continuity.now())
            if pieces is not None:
                await pieces.aclose()
            raise
        else:
            ticket = health.breaker.spoke(ticket, continuity.now())
            return Opened(member, health, ticket, pieces, first, prediction)
        if pieces is not None:
            await pieces.aclose()
        ticket = await again(continuity, health, ticket, failure, attempt, until)
        attempt += 1


async def something(pieces: Any, seconds: float) -> Piece:
    """Return the next piece that is not empty, or the whole answer. Raises Unanswered.

    `seconds` is how long empty ones may go on; that nothing comes at all is for who gives the pieces to see.
    """
    empty_since = 0.0
    try:
        while True:
            piece: Piece = await pieces.__anext__()
            if piece:
                return piece
            now = time.monotonic()
            empty_since = empty_since or now
            if now - empty_since >= seconds:
                raise _silent(seconds)
    except StopAsyncIteration:
        raise Unanswered("failed", "ended without its answer") from None
    except Exception as error:
        raise as_unanswered(error) from None


def _silent(seconds: float) -> Unanswered:
    return Unanswered("timed out", f"silent for {seconds:g} s")


def _prediction(parts: "Parts", member: Member, first: Piece, outcome: Outcome) -> Any:
    """Hold a first piece that is the whole answer against the task's contract. Raises Unanswered."""
    if not isinstance(first, Answer):
        return None
    try:
        if first.error:
            raise Unanswered("failed", first.error, passing=False)
        return read(parts, member, first)
    except Unanswered:
        outcome.usd += first.usd
        raise


async def _discard(parts: "Parts", opened: Opened) -> None:
    """Hang up on a stream that began at the same moment as another."""
    opened.health.breaker.record(opened.ticket, True, parts.continuity.now())
    await opened.pieces.aclose()
