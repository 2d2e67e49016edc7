"""One loaded model and its threads: asked from the event loop, answered in a thread, given up on after a while.

A model cannot be interrupted. A call that takes too long is given up by whoever asked, yet keeps its thread until it
really ends, so that a model for one thread is never used by two. While every thread is held that way, further calls
fail at once instead of queueing behind them. Knows nothing of releases, fallbacks or events.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from lifeloop.core.candidates import Answer, Request
from lifeloop.gateway.asking.calls import Call, NotAsked, as_unanswered, tell
from lifeloop.gateway.asking.pieces import Pieces
from lifeloop.models.model import Model, Unanswered

log = logging.getLogger(__name__)


class Worker:
    """A model with at most `model.concurrency` threads, started as they are needed.

    Calls that wait while the threads are busy are put to the model together, up to its batch size: nobody waits for a
    batch to fill, and a model that is faster on many is used as such.
    """

    def __init__(self, model: Model, name: str) -> None:
        self.model = model
        self.name = name
        self._batch_size = max(1, model.batch_size)
        self._changed = threading.Condition()
        self._waiting: deque[Call] = deque()
        self._running: set[Call] = set()
        self._threads = 0
        self._idle = 0
        self._waking = 0  # threads that were called and have not taken anything yet
        self._closed = False

    async def answer(self, requests: Sequence[Request], seconds: float) -> list[Answer]:
        """Return the model's answers, one a request. Raises Unanswered, also when `seconds` have passed."""
        said: list[Answer] = await self._outcome(Call(requests, seconds), seconds)
        return said

    async def embed(self, texts: Sequence[str], seconds: float) -> tuple[list[list[float]], Answer]:
        """Return one vector a text, in a thread that answers nothing meanwhile, and an Answer that holds their tokens.

        Raises Unanswered, also when `seconds` have passed.
        """
        call = Call((), seconds)
        call.texts = texts
        found: tuple[list[list[float]], Answer] = await self._outcome(call, seconds)
        return found

    async def _outcome(self, call: Call, seconds: float) -> Any:
        call.outcome = asyncio.get_running_loop().create_future()
        self._submit(call)
        try:
            async with asyncio.timeout(seconds):
                said = await call.outcome
        except TimeoutError:
            raise Unanswered("timed out", f"after {seconds:g} s", passing=False) from None
        finally:
            call.given_up = True
        if isinstance(said, BaseException):
            raise as_unanswered(said)
        return said

    def stream(self, request: Request, seconds: float) -> Pieces:
        """Return the pieces of an answer as they come. Raises Unanswered where no thread is to be had."""
        call = Call([request], seconds)
        call.pieces = Pieces(call, asyncio.get_running_loop())
        self._submit(call)
        return call.pieces

    def close(self, seconds: float) -> None:
        """Let the calls end for up to `seconds`, then free the model. Blocks; a model that still hangs is left."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            ended = self._changed.wait_for(lambda: self._threads == 0, seconds)
        if not ended:
            log.warning("%s still works on an answer that nobody waits for; it is left to itself", self.name)
            return
        try:
            self.model.close()
        except Exception:
            log.exception("%s could not be closed", self.name)

    def _submit(self, call: Call) -> None:
        with self._changed:
            now = time.monotonic()
            if len(self._running) >= self.model.concurrency and all(other.stuck(now) for other in self._running):
                raise NotAsked("is busy", "every thread is held by a call that was given up", passing=False)
            self._waiting.append(call)
            self._wake()

    def _wake(self) -> None:
        """Call one more thread if those on their way will not take all that waits. The lock is held."""
        if len(self._waiting) <= self._waking * self._batch_size:
            return
        if self._idle > self._waking:
            self._waking += 1
            self._changed.notify()
        elif self._threads < self.model.concurrency:
            self._waking += 1
            self._threads += 1
            self._idle += 1
            threading.Thread(target=self._run, name=f"lifeloop-{self.name}", daemon=True).start()

    # below: the threads

    def _run(self) -> None:
        with self._changed:
            self._waking -= 1
            self._idle -= 1
        while calls := self._next():
            try:
                if calls[0].pieces is not None:
                    calls[0].pieces.fill(self.model)
                elif calls[0].texts is not None:
                    self._embed(calls[0])
                else:
                    self._answer(calls)
            finally:
                with self._changed:
                    self._running.discard(calls[0])
        with self._changed:
            self._threads -= 1
            self._changed.notify_all()

    def _next(self) -> list[Call]:
        """Wait for calls and return one, or several to be answered together; none when closed."""
        with self._changed:
            while True:
                if calls := self._take():
                    calls[0].since = time.monotonic()
                    self._running.add(calls[0])
                    self._wake()  # for what is left: a stream is taken alone, and so are texts for vectors
                    return calls
                if self._closed:
                    return []
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
                self._waking = max(0, self._waking - 1)

    def _take(self) -> list[Call]:
        taken: list[Call] = []
        room = self._batch_size
        while self._waiting:
            call = self._waiting[0]
            together = call.pieces is None and call.texts is None and len(call.requests) <= room
            if taken and not together:
                break
            self._waiting.popleft()
            if call.given_up:
                continue
            taken.append(call)
            if not together:
                break
            room -= len(call.requests)
        return taken

    def _embed(self, call: Call) -> None:
        model: Any = self.model
        said: object
        try:
            tokens = model.count_tokens(call.texts) if hasattr(model, "count_tokens") else 0
            said = model.embed(call.texts), Answer(output="", tokens_in=tokens)
        except BaseException as error:  # whatever a model raises, its thread lives on
            said = error
        _tell_outcomes([(call.outcome, said)])

    def _answer(self, calls: Sequence[Call]) -> None:
        requests = [request for call in calls for request in call.requests]
        try:
            said = self.model.answer(requests)
            if len(said) != len(requests):
                raise ValueError(f"gave {len(said)} answers to {len(requests)} requests")
        except BaseException as error:  # whatever a model raises, its thread lives on
            if len(calls) > 1:  # one request must not spoil those it happened to wait with
                for call in calls:
                    self._answer([call])
            else:
                _tell_outcomes([(calls[0].outcome, error)])
            return
        shares: list[tuple[Any, Any]] = []
        start = 0
        for call in calls:
            shares.append((call.outcome, said[start : start + len(call.requests)]))
            start += len(call.requests)
        _tell_outcomes(shares)


def _tell_outcomes(outcomes: Sequence[tuple[Any, object]]) -> None:
    """Hand what a model said to those who asked, who may have given up: one step of the loop for all of them."""

    def settle() -> None:
        for outcome, said in outcomes:
            if not outcome.done():
                outcome.set_result(said)

    tell(outcomes[0][0].get_loop(), settle)
