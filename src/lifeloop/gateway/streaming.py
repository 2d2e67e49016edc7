"""Streamed answers: tries candidates until one gives a first piece, then passes pieces on as they come.

Before the first piece a failure goes to the next candidate, unseen; after it the stream ends with an error, since
nobody can take back half an answer. For a task whose outputs have a fixed form (a label, JSON) the checked output
comes in one piece. A client that leaves, or takes nothing for long, stops the model. Every stream becomes an event.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from starlette.types import Receive, Scope, Send

from lifeloop.core.candidates import Answer
from lifeloop.gateway.answering import Asked, Outcome, accept, answer, fail, in_public, to_event
from lifeloop.gateway.errors import RequestError, error_body, error_response, not_ready
from lifeloop.gateway.routing import Live, Member
from lifeloop.gateway.serving import Parts, headers_of
from lifeloop.gateway.worker import STALL_SECONDS, Failure, Pieces
from lifeloop.stages.observe import ABANDONED, BROKEN_OFF
from lifeloop.tasks.task import Task

Frame = Callable[[str | None, Outcome], bytes]
"""Gives the bytes that go out for a piece of text, or for the end of a whole answer (None)."""


class StreamedAnswer:
    """An ASGI response that asks, streams and records."""

    def __init__(self, parts: Parts, asked: Asked, frame: Frame) -> None:
        self._parts = parts
        self._asked = asked
        self._frame = frame

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until done or until the client leaves, whichever comes first."""
        answering = asyncio.create_task(self._answer(scope, receive, send))
        leaving = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not answering.done():
                answering.cancel()
        with suppress(asyncio.CancelledError):  # the client is gone, and the event says so
            await answering

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        live = self._parts.router.take()
        if live is None:
            await error_response(not_ready())(scope, receive, send)
            return
        outcome, started = Outcome(), time.perf_counter()
        try:
            if not await self._stream(live, outcome, send):
                await error_response(unanswered(live, self._asked, outcome))(scope, receive, send)
        except (asyncio.CancelledError, TimeoutError) as error:
            why = "the connection ended" if isinstance(error, asyncio.CancelledError) else "the client took nothing"
            outcome.ended = ABANDONED + why
            raise asyncio.CancelledError from None
        finally:
            outcome.seconds = time.perf_counter() - started
            self._parts.recorder.add_event(to_event(live, self._asked, outcome))
            self._parts.router.give_back(live)

    async def _stream(self, live: Live, outcome: Outcome, send: Send) -> bool:
        """Stream from the first candidate that gives anything; return False where none does."""
        task = self._parts.serving.task
        if _has_form(task, live.members[0]):
            await answer(task, live, [self._asked.request], [outcome])
            if outcome.member is None:
                return False
            await self._begin(live, outcome, send)
            await self._pass_on(outcome.output, outcome, send)
            await _put(send, self._frame(None, outcome), more=False)
            return True
        for member in live.members:
            try:
                pieces = member.worker.stream(self._asked.request, live.seconds)
            except Failure as failure:
                fail(outcome, member, failure)
                continue
            try:
                if await self._stream_from(live, member, pieces, outcome, send):
                    return True
            finally:
                pieces.stop()
        return False

    async def _stream_from(self, live: Live, member: Member, pieces: Pieces, outcome: Outcome, send: Send) -> bool:
        """Pass on one candidate's pieces; return False where it failed before the first."""
        task = self._parts.serving.task
        try:
            item = await _something(pieces)
        except Failure as failure:
            fail(outcome, member, failure)
            return False
        if isinstance(item, Answer):
            if not accept(task, outcome, member, item):
                return False
            await self._begin(live, outcome, send)
            await self._pass_on(outcome.output, outcome, send)
            await _put(send, self._frame(None, outcome), more=False)
            return True
        outcome.member = member
        await self._begin(live, outcome, send)
        try:
            while not isinstance(item, Answer):
                outcome.output += item
                await self._pass_on(item, outcome, send)
                item = await _something(pieces)
            _check(task, member, item, outcome)
        except Failure as failure:
            outcome.ended = f"{BROKEN_OFF}{member.name} {failure.why}" + (
                f": {failure.detail}" if failure.detail else ""
            )
            broken = RequestError(500, f"The answer broke off: {member.name} {failure.why}.", code="broken_off")
            await _put(send, b"data: " + error_body(broken) + b"\n\n", more=False)
        else:
            await _put(send, self._frame(None, outcome), more=False)
        return True

    async def _begin(self, live: Live, outcome: Outcome, send: Send) -> None:
        headers = {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache",
            "x-accel-buffering": "no",
            **headers_of(live, self._asked.event, outcome),
        }
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})

    async def _pass_on(self, text: str, outcome: Outcome, send: Send) -> None:
        await _put(send, self._frame(text, outcome), more=True)


def unanswered(live: Live, asked: Asked, outcome: Outcome) -> RequestError:
    """Return the error of a request that nobody answered."""
    headers = headers_of(live, asked.event, outcome) | {"retry-after": "1"}
    return RequestError(503, in_public(outcome), code="no_answer", headers=headers)


def _has_form(task: Task, member: Member) -> bool:
    contract = task.contract(member.labels)
    return bool(contract.choices or contract.schema)


async def _something(pieces: Pieces) -> str | Answer:
    """Return the next piece that is not empty, or the whole answer. Raises Failure."""
    while True:
        item = await pieces.next()
        if item is None:
            raise Failure("failed", "ended without its answer")
        if item:
            return item


def _check(task: Task, member: Member, said: Answer, outcome: Outcome) -> None:
    """Hold what was streamed against the task's contract. Raises Failure."""
    outcome.answer = said
    outcome.usd += said.usd
    if said.error:
        raise Failure("failed", said.error)
    try:
        task.parse(outcome.output, member.labels)
    except ValueError as error:
        raise Failure("broke the task's contract", str(error)) from None


async def _put(send: Send, data: bytes, *, more: bool) -> None:
    """Send bytes. Raises TimeoutError where the client does not take them."""
    async with asyncio.timeout(STALL_SECONDS):
        await send({"type": "http.response.body", "body": data, "more_body": more})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
