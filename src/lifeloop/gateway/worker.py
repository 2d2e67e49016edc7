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
from collections.abc import Callable, Sequence
from typing import Any

from lifeloop.core.candidates import Answer, Request
from lifeloop.models.model import Model

log = logging.getLogger(__name__)

PIECES_AHEAD = 64
"""How many pieces of a stream may wait for the client."""
STALL_SECONDS = 30.0
"""How long a client may take nothing of its stream before the model is freed."""


class Failure(Exception):
    """A model that did not answer: `why` in words for anybody, `detail` for the event alone."""

    def __init__(self, why: str, detail: str = "") -> None:
        super().__init__(why, detail)
        self.why = why
        self.detail = detail


class _Call:
    """Work for a thread, and since when the thread has shown no sign of life."""

    __slots__ = ("given_up", "limit", "outcome", "pieces", "requests", "since")

    def __init__(self, requests: Sequence[Request], limit: float) -> None:
        self.requests = requests
        self.limit = limit
        self.outcome: asyncio.Future[list[Answer] | BaseException] | None = None
        self.pieces: Pieces | None = None  # where they go, if the one request is to be streamed
        self.since = 0.0
        self.given_up = False

    def stuck(self, now: float) -> bool:
        return now - self.since > self.limit


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
        self._waiting: deque[_Call] = deque()
        self._running: set[_Call] = set()
        self._threads = 0
        self._idle = 0
        self._waking = 0  # threads that were called and have not taken anything yet
        self._closed = False

    async def answer(self, requests: Sequence[Request], seconds: float) -> list[Answer]:
        """Return the model's answers, one a request. Raises Failure, also when `seconds` have passed."""
        call = _Call(requests, seconds)
        call.outcome = asyncio.get_running_loop().create_future()
        self._submit(call)
        try:
            async with asyncio.timeout(seconds):
                said = await call.outcome
        except TimeoutError:
            raise Failure("timed out", f"after {seconds:g} s") from None
        finally:
            call.given_up = True
        if isinstance(said, BaseException):
            raise Failure("failed", f"{type(said).__name__}: {said}")
        return said

    def stream(self, request: Request, seconds: float) -> "Pieces":
        """Return the pieces of an answer as they come. Raises Failure where no thread is to be had."""
        call = _Call([request], seconds)
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

    def _submit(self, call: _Call) -> None:
        with self._changed:
            now = time.monotonic()
            if len(self._running) >= self.model.concurrency and all(other.stuck(now) for other in self._running):
                raise Failure("is busy", "every thread is held by a call that was given up")
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
                else:
                    self._answer(calls)
            finally:
                with self._changed:
                    self._running.discard(calls[0])
        with self._changed:
            self._threads -= 1
            self._changed.notify_all()

    def _next(self) -> list[_Call]:
        """Wait for calls and return one, or several to be answered together; none when closed."""
        with self._changed:
            while True:
                if calls := self._take():
                    calls[0].since = time.monotonic()
                    self._running.add(calls[0])
                    self._wake()  # for what is left: a stream is taken alone
                    return calls
                if self._closed:
                    return []
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
                self._waking = max(0, self._waking - 1)

    def _take(self) -> list[_Call]:
        taken: list[_Call] = []
        room = self._batch_size
        while self._waiting:
            call = self._waiting[0]
            together = call.pieces is None and len(call.requests) <= room
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

    def _answer(self, calls: Sequence[_Call]) -> None:
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


class _End:
    """The last thing in a stream's queue: why it ended, or None where the model was done."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Pieces:
    """A stream on its way from a model's thread to the event loop, a bounded number of pieces ahead."""

    def __init__(self, call: _Call, loop: asyncio.AbstractEventLoop) -> None:
        self._call = call
        self._loop = loop
        self._queue: asyncio.Queue[str | Answer | _End] = asyncio.Queue()
        self._room = threading.Semaphore(PIECES_AHEAD)

    async def next(self) -> str | Answer | None:
        """Return the next piece, the whole answer, or None at the end. Raises Failure, also after a long silence."""
        try:
            async with asyncio.timeout(self._call.limit):
                item = await self._queue.get()
        except TimeoutError:
            raise Failure("timed out", f"silent for {self._call.limit:g} s") from None
        self._room.release()
        if not isinstance(item, _End):
            return item
        if item.error is not None:
            raise Failure("failed", f"{type(item.error).__name__}: {item.error}")
        return None

    def stop(self) -> None:
        """Make the thread close the model's iterator as soon as it gives another piece."""
        self._call.given_up = True
        self._room.release()

    def fill(self, model: Model) -> None:
        """Run the model's iterator to its end, or until nobody wants more. Called in the model's thread."""
        iterator: Any = None
        error: BaseException | None = None
        try:
            iterator = model.stream(self._call.requests[0])
            for item in iterator:
                self._call.since = time.monotonic()
                if not self._give(item):
                    break
        except BaseException as raised:  # whatever a model raises, its thread lives on
            error = raised
        finally:
            if close := getattr(iterator, "close", None):
                try:
                    close()
                except Exception:
                    log.exception("a stream could not be closed")
        _tell(self._loop, lambda: self._queue.put_nowait(_End(error)))

    def _give(self, item: str | Answer) -> bool:
        if not self._room.acquire(timeout=STALL_SECONDS):
            raise TimeoutError(f"the client took nothing for {STALL_SECONDS:g} s")
        if self._call.given_up:
            return False
        _tell(self._loop, lambda: self._queue.put_nowait(item))
        return True


def _tell_outcomes(outcomes: Sequence[tuple[Any, object]]) -> None:
    """Hand what a model said to those who asked, who may have given up: one step of the loop for all of them."""

    def settle() -> None:
        for outcome, said in outcomes:
            if not outcome.done():
                outcome.set_result(said)

    _tell(outcomes[0][0].get_loop(), settle)


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        log.debug("an answer came after the gateway had stopped")
