"""A stream on its way from a model's thread to the event loop, as an asynchronous iterator.

The thread may be a bounded number of pieces ahead of the client. Knows nothing of what becomes of the pieces.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from typing import Any

from lifeloop.core.candidates import Answer, Choices
from lifeloop.gateway.asking.calls import Call, as_unanswered, tell
from lifeloop.models.model import Model, Unanswered

log = logging.getLogger(__name__)

PIECES_AHEAD = 64
"""How many pieces of a stream may wait for the client."""
STALL_SECONDS = 30.0
"""How long a client may take nothing of its stream before the model is freed."""


class _End:
    """The last thing of a stream: why it ended, or None where the model was done."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Pieces:
    """A stream on its way from a model's thread to the event loop, a bounded number of pieces ahead.

    An asynchronous iterator, as `AnswersInLoop.stream_in_loop` gives one: texts, and last the whole Answer. Texts that
    are there together come as one.
    """

    def __init__(self, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        self._call = call
        self._loop = loop
        self._arrived: deque[str | Choices | Answer | _End] = deque()
        self._room = threading.Semaphore(PIECES_AHEAD)
        self._told = False  # whether the loop has been called and has not come yet
        self._waiter: asyncio.Future[None] | None = None
        self._silent_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __aiter__(self) -> "Pieces":
        return self

    async def __anext__(self) -> str | Choices | Answer:
        """Return what comes next. Raises Unanswered, also after a long silence."""
        if not self._arrived:
            await self._something()
        item = self._take()
        if isinstance(item, _End):
            self._arrived.append(item)  # whoever asks again hears the same
            if item.error is not None:
                raise as_unanswered(item.error)
            raise StopAsyncIteration
        if isinstance(item, str):
            while self._arrived and isinstance(self._arrived[0], str):
                item += self._take()
        return item

    async def aclose(self) -> None:
        """Make the thread close the model's iterator as soon as it gives another piece."""
        self._call.given_up = True
        self._room.release()
        if self._timer is not None:
            self._timer.cancel()

    def fill(self, model: Model) -> None:
        """Run the model's iterator to its end, or until nobody wants more. Called in the model's thread."""
        iterator: Any = None
        error: BaseException | None = None
        try:
            iterator = model.stream(self._call.requests[0])
            for item in iterator:
                self._call.since = time.monotonic()
                if item:
                    if not self._give(item):
                        break
                elif self._call.given_up:  # an empty piece is nothing to give, and ends no silence
                    break
        except BaseException as raised:  # whatever a model raises, its thread lives on
            error = raised
        finally:
            if close := getattr(iterator, "close", None):
                try:
                    close()
                except Exception:
                    log.exception("a stream could not be closed")
        self._put(_End(error))

    def _give(self, item: str | Choices | Answer) -> bool:
        if not self._room.acquire(timeout=STALL_SECONDS):
            raise TimeoutError(f"the client took nothing for {STALL_SECONDS:g} s")
        if self._call.given_up:
            return False
        self._put(item)
        return True

    def _put(self, item: str | Choices | Answer | _End) -> None:
        self._arrived.append(item)
        if not self._told:
            self._told = True
            tell(self._loop, self._wake)

    # below: the event loop

    def _take(self) -> Any:
        self._room.release()
        return self._arrived.popleft()

    async def _something(self) -> None:
        """Wait until something is there; one timer watches over the whole stream."""
        self._waiter = self._loop.create_future()
        self._silent_since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._call.limit, self._look_at_the_time)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        self._told = False
        if self._waiter is not None and not self._waiter.done() and self._arrived:
            self._waiter.set_result(None)

    def _look_at_the_time(self) -> None:
        left = self._call.limit
        if self._waiter is not None and not self._waiter.done():
            left -= self._loop.time() - self._silent_since
            if left <= 0.0:
                self._timer = None
                why = f"silent for {self._call.limit:g} s"
                self._waiter.set_exception(Unanswered("timed out", why, passing=False))
                return
        self._timer = self._loop.call_later(max(left, 0.001), self._look_at_the_time)
