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

    __slots__ = ("given_up", "limit", "since", "work")

    def __init__(self, work: Callable[["_Call"], None], limit: float) -> None:
        self.work = work
        self.limit = limit
        self.since = 0.0
        self.given_up = False

    def stuck(self, now: float) -> bool:
        return now - self.since > self.limit


class Worker:
    """A model with at most `model.concurrency` threads, started as they are needed."""

    def __init__(self, model: Model, name: str) -> None:
        self.model = model
        self.name = name
        self._changed = threading.Condition()
        self._waiting: deque[_Call] = deque()
        self._running: set[_Call] = set()
        self._threads = 0
        self._idle = 0
        self._closed = False

    async def answer(self, requests: Sequence[Request], seconds: float) -> list[Answer]:
        """Return the model's answers, one a request. Raises Failure, also when `seconds` have passed."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Any] = loop.create_future()

        def work(call: _Call) -> None:
            try:
                said: Any = self.model.answer(requests)
            except BaseException as error:  # whatever a model raises, its thread lives on
                said = error
            _tell(loop, lambda: _settle(outcome, said))

        call = self._submit(work, seconds)
        try:
            async with asyncio.timeout(seconds):
                said: list[Answer] | BaseException = await outcome
        except TimeoutError:
            raise Failure("timed out", f"after {seconds:g} s") from None
        finally:
            call.given_up = True
        if isinstance(said, BaseException):
            raise Failure("failed", f"{type(said).__name__}: {said}")
        if len(said) != len(requests):
            raise Failure("failed", f"gave {len(said)} answers to {len(requests)} requests")
        return said

    def stream(self, request: Request, seconds: float) -> "Pieces":
        """Return the pieces of an answer as they come. Raises Failure where no thread is to be had."""
        pieces = Pieces(asyncio.get_running_loop(), seconds)

        def work(call: _Call) -> None:
            pieces.fill(self.model, request, call)

        pieces.call = self._submit(work, seconds)
        return pieces

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

    def _submit(self, work: Callable[[_Call], None], seconds: float) -> _Call:
        call = _Call(work, seconds)
        with self._changed:
            now = time.monotonic()
            if len(self._running) >= self.model.concurrency and all(other.stuck(now) for other in self._running):
                raise Failure("is busy", "every thread is held by a call that was given up")
            self._waiting.append(call)
            if self._idle >= len(self._waiting):
                self._changed.notify()
            elif self._threads < self.model.concurrency:
                self._threads += 1
                threading.Thread(target=self._run, name=f"lifeloop-{self.name}", daemon=True).start()
        return call

    def _run(self) -> None:
        while (call := self._next()) is not None:
            try:
                call.work(call)
            finally:
                with self._changed:
                    self._running.discard(call)
        with self._changed:
            self._threads -= 1
            self._changed.notify_all()

    def _next(self) -> _Call | None:
        with self._changed:
            while True:
                while self._waiting:
                    call = self._waiting.popleft()
                    if not call.given_up:
                        call.since = time.monotonic()
                        self._running.add(call)
                        return call
                if self._closed:
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1


class _End:
    """The last thing in a stream's queue: why it ended, or None where the model was done."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Pieces:
    """A stream on its way from a model's thread to the event loop, a bounded number of pieces ahead."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.call: _Call | None = None
        self._loop = loop
        self._seconds = seconds
        self._queue: asyncio.Queue[str | Answer | _End] = asyncio.Queue()
        self._room = threading.Semaphore(PIECES_AHEAD)
        self._stopped = False

    async def next(self) -> str | Answer | None:
        """Return the next piece, the whole answer, or None at the end. Raises Failure, also after a long silence."""
        try:
            async with asyncio.timeout(self._seconds):
                item = await self._queue.get()
        except TimeoutError:
            raise Failure("timed out", f"silent for {self._seconds:g} s") from None
        self._room.release()
        if not isinstance(item, _End):
            return item
        if item.error is not None:
            raise Failure("failed", f"{type(item.error).__name__}: {item.error}")
        return None

    def stop(self) -> None:
        """Make the thread close the model's iterator as soon as it gives another piece."""
        self._stopped = True
        if self.call is not None:
            self.call.given_up = True
        self._room.release()

    def fill(self, model: Model, request: Request, call: _Call) -> None:
        """Run the model's iterator to its end, or until nobody wants more. Called in the model's thread."""
        iterator: Any = None
        error: BaseException | None = None
        try:
            iterator = model.stream(request)
            for item in iterator:
                call.since = time.monotonic()
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
        if self._stopped:
            return False
        _tell(self._loop, lambda: self._queue.put_nowait(item))
        return True


def _settle(outcome: "asyncio.Future[Any]", said: object) -> None:
    if not outcome.done():  # otherwise whoever asked has given up
        outcome.set_result(said)


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        log.debug("an answer came after the gateway had stopped")
