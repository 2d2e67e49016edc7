"""Streamed answers: once a candidate has given a first piece, passes pieces on as they come, to the end or to a break.

Before the first piece a failure goes to the next candidate, unseen; after it the stream ends with an error, since
nobody can take back half an answer. For a task whose outputs have a fixed form (a label, JSON) the checked output
comes in one piece. A client that leaves, or takes nothing for long, stops the model at once. Every stream becomes an
event, which is recorded before the client can see the stream's end.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from lifeloop.core.candidates import Answer, Choices
from lifeloop.gateway.asking.answering import WITHHELD, Asked, Outcome, Withheld, answer_one
from lifeloop.gateway.asking.charging import all_of, charge
from lifeloop.gateway.asking.client import Client
from lifeloop.gateway.asking.deltas import merged
from lifeloop.gateway.asking.opening import Opened, Piece, open_stream, something
from lifeloop.gateway.production.lives import Live
from lifeloop.gateway.production.members import Member
from lifeloop.gateway.serving import STOPPED, Parts, begin, headers_of, record, unanswered
from lifeloop.gateway.web.errors import RequestError, error_body, failed
from lifeloop.gateway.web.http import Headers
from lifeloop.models.model import Unanswered
from lifeloop.stages.observe import ABANDONED, BROKEN_OFF
from lifeloop.tasks.task import Task

log = logging.getLogger(__name__)

Frame = Callable[[str | Choices | None, Outcome], bytes]
"""Gives the bytes that go out for a piece, or for the end of a whole answer (None)."""

LAST_WORD_SECONDS = 0.5
"""How long a client of a gateway that stops may take to hear of it."""
_HEAD = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class StreamedAnswer:
    """An ASGI response that asks, streams and records. For one call.

    Raises RequestError where nothing has been sent yet: no release is loaded, nobody answers, the event cannot be
    recorded. Once something has been sent, failures are told in the stream.
    """

    def __init__(self, parts: Parts, asked: Asked, frame: Frame, headers: Headers | None = None) -> None:
        """`headers` go out besides those of every stream."""
        self._parts = parts
        self._asked = asked
        self._frame = frame
        self._headers = headers or []
        self._outcome = Outcome()
        self._said: list[str] = []
        self._screened: list[str] = []  # what the model wrote under a screen, which may hold some of it back
        self._choices: list[Choices] = []
        self._held: list[str | Choices] = []  # what a screen cannot read piece by piece
        self._recorded = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer until done or until the client leaves, whichever comes first."""
        parts, outcome = self._parts, self._outcome
        live = begin(parts, self._asked)
        started = parts.continuity.now()
        client = Client(scope, send)
        try:
            await self._answer(live, client, started)
        except asyncio.CancelledError:
            outcome.ended = outcome.ended or (ABANDONED + client.gone if client.gone else STOPPED)
            if not client.gone:
                await self._say_stopped(live, client, started)
                raise
            client.forgive()
        except RequestError:
            raise  # nothing has been sent
        except Exception:
            log.exception("stream %s failed", self._asked.event)
            await self._say_failed(live, client, started)
        finally:
            client.let_go()
            with suppress(RequestError):  # what could be told to the client has been, or it is gone
                self._record(live, started)
            parts.router.give_back(live)
        if outcome.member is not None and not outcome.ended:
            parts.shadows.offer(parts, self._asked, live, outcome)

    async def _answer(self, live: Live, client: Client, started: float) -> None:
        parts, outcome, request = self._parts, self._outcome, self._asked.request
        if _has_form(parts.serving.task, live.members[0]):
            await answer_one(parts, live, request, outcome)
            if outcome.member is not None:
                await self._pass_whole(live, client, started)
        elif (opened := await open_stream(parts, live, request, outcome)) is not None:
            try:
                await self._pass_on(live, opened, client, started)
            finally:
                await opened.pieces.aclose()
        if outcome.member is None:
            self._record(live, started)
            raise unanswered(live, self._asked, outcome)

    async def _pass_whole(self, live: Live, client: Client, started: float) -> None:
        """Send an answer that is there and checked as one piece."""
        outcome = self._outcome
        piece = _as_choices(outcome.answer) if outcome.answer.choices else outcome.output
        self._record(live, started)
        await self._begin(live, client)
        await client.put(self._frame(piece, outcome) + self._frame(None, outcome), more=False)

    async def _pass_on(self, live: Live, opened: Opened, client: Client, started: float) -> None:
        """Send a candidate's pieces, the first one included, and its end."""
        outcome, now = self._outcome, self._parts.continuity.now
        health, ticket = opened.health, opened.ticket
        outcome.member = opened.member
        if isinstance(opened.first, Answer):
            health.breaker.record(ticket, True, now())
            self._take_whole(opened)
            await self._pass_whole(live, client, started)
            return
        try:
            await self._begin(live, client)
            last = await self._pass_pieces(opened, client, live.seconds)
        except Unanswered as failure:
            health.failed(ticket, failure, now())
            await self._break_off(live, client, started, failure, "broken_off")
        except Withheld as withheld:
            health.breaker.record(ticket, True, now())
            await self._break_off(live, client, started, Unanswered(WITHHELD, str(withheld)), "content_filter")
        except BaseException:  # the client left, or the gateway stops: the candidate was well
            health.breaker.record(ticket, True, now())
            raise
        else:
            health.breaker.record(ticket, True, now())
            await self._end(live, client, started, last)

    async def _pass_pieces(self, opened: Opened, client: Client, seconds: float) -> bytes:
        """Send pieces until the whole answer is there; return what is still to be sent of them.

        `seconds` is the longest silence. Raises Unanswered or Withheld where it does not come to that.
        """
        frame, outcome, said = self._frame, self._outcome, self._said
        screen = self._parts.filters.stream(opened.member.id)
        piece: Piece = opened.first
        while not isinstance(piece, Answer):
            text = piece if isinstance(piece, str) else piece.text
            if isinstance(piece, Choices):
                self._choices.append(piece)
            if screen is None:
                said.append(text)
                await client.put(frame(piece, outcome))
            else:
                self._screened.append(text)
                if self._held or isinstance(piece, Choices):  # these are read as a whole, and so is what follows them
                    self._held.append(piece)
                elif text := screen.feed(piece):
                    said.append(text)
                    await client.put(frame(text, outcome))
            piece = await something(opened.pieces, seconds)
        outcome.answer = piece
        outcome.usd += piece.usd
        last = b""
        if screen is not None:
            last = self._held_back(opened.member, screen.end(), piece.finish)
        self._check(opened.member, piece)
        return last

    def _held_back(self, member: Member, text: str, finish: str) -> bytes:
        """Return what waited for the end: a text's last words, and choices. Raises Withheld where it may not go out."""
        before = "".join(self._said) + text if self._held else ""
        if why := self._parts.filters.check_held(member.id, before, self._held, finish):
            raise Withheld(why)
        held, self._held = [text, *self._held] if text else self._held, []
        self._said.extend(each if isinstance(each, str) else each.text for each in held)
        return b"".join([self._frame(each, self._outcome) for each in held])

    def _check(self, member: Member, answer: Answer) -> None:
        """Hold what was streamed against the task's contract. Raises Unanswered."""
        if answer.error:
            raise Unanswered("failed", answer.error)
        said = "".join(self._said)
        if self._choices and not said.strip():
            return
        try:
            self._parts.serving.task.parse(said, member.labels)
        except ValueError as error:
            raise Unanswered("broke the task's contract", str(error), status=200) from None

    def _take_whole(self, opened: Opened) -> None:
        outcome, answer = self._outcome, opened.first
        assert isinstance(answer, Answer)
        outcome.answer, outcome.prediction = answer, opened.prediction
        outcome.usd += answer.usd
        outcome.output = opened.prediction if isinstance(opened.prediction, str) else answer.output

    async def _begin(self, live: Live, client: Client) -> None:
        event = self._asked.event
        named = headers_of(live, event, self._outcome)
        await client.begin([*_HEAD, (b"x-request-id", event.encode()), *named, *self._headers])

    async def _end(self, live: Live, client: Client, started: float, last: bytes) -> None:
        """Record a whole answer, then send its end."""
        try:
            self._record(live, started)
        except RequestError as error:
            await client.put(_error_chunk(error), more=False)
        else:
            await client.put(last + self._frame(None, self._outcome), more=False)

    async def _break_off(self, live: Live, client: Client, started: float, failure: Unanswered, code: str) -> None:
        """Record an answer that broke in the middle, then say so in the stream."""
        name = self._outcome.member.name if self._outcome.member else ""
        detail = f": {failure.detail}" if failure.detail else ""
        self._outcome.ended = f"{BROKEN_OFF}{name} {failure.why}{detail}"
        error = RequestError(500, f"The answer broke off: {name} {failure.why}.", code=code)
        try:
            self._record(live, started)
        except RequestError as other:
            error = other
        await client.put(_error_chunk(error), more=False)

    async def _say_failed(self, live: Live, client: Client, started: float) -> None:
        """Tell of a fault of ours, in the stream where it has begun. Raises RequestError where it has not."""
        self._outcome.ended = self._outcome.ended or BROKEN_OFF + "the gateway failed"
        if not client.begun:
            raise failed()
        with suppress(RequestError):
            self._record(live, started)
        await client.put(_error_chunk(failed()), more=False)

    async def _say_stopped(self, live: Live, client: Client, started: float) -> None:
        """Tell a client in the middle of its stream that the gateway stops, if it takes that at once."""
        if not client.begun or self._recorded:
            return
        with suppress(RequestError):
            self._record(live, started)
        error = RequestError(503, "The answer broke off: the gateway stopped.", code="stopping")
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_SECONDS):
                await client.put(_error_chunk(error), more=False)

    def _record(self, live: Live, started: float) -> None:
        """Write the event, once, with what is known of the answer until now. Raises RequestError."""
        if self._recorded:
            return
        self._recorded = True
        outcome = self._outcome
        outcome.seconds = self._parts.continuity.now() - started
        outcome.output = outcome.output or "".join(self._said)
        if outcome.ended or outcome.left:
            charge(outcome, self._asked, all_of(self._screened or self._said, self._choices))
        if self._held:  # and never sent
            outcome.answer = msgspec.structs.replace(outcome.answer, choices="")
        elif self._choices and not outcome.output.strip():
            outcome.output = merged(choices.raw for choices in self._choices)
        record(self._parts, live, self._asked, outcome)


def _has_form(task: Task, member: Member) -> bool:
    contract = task.contract(member.labels)
    return bool(contract.choices or contract.schema)


def _as_choices(answer: Answer) -> Choices:
    """Return the choices of a whole answer as a stream has them: `delta` for `message`."""
    choices = []
    for choice in msgspec.json.decode(answer.choices):
        message = dict(choice.pop("message", None) or {})
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [{"index": place, **call} for place, call in enumerate(calls)]
        choices.append({**choice, "delta": message})
    return Choices(raw=msgspec.json.encode(choices).decode(), text=answer.output)


def _error_chunk(error: RequestError) -> bytes:
    return b"data: " + error_body(error) + b"\n\n"
