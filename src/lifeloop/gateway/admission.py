"""How much a process takes on at once: a bounded number of requests under way, a bounded queue, and the rest refused.

Asked first, before a key is looked up or a body is read, so that what is refused costs next to nothing. Lives on the
event loop; knows nothing of what the requests are.
"""

import asyncio
import math
from collections import deque

from lifeloop.core.gateway_brief import Load
from lifeloop.gateway.web.errors import RequestError


class Admission:
    """Every `enter` that returns is ended by one `leave`, whatever became of the request."""

    def __init__(self, load: Load) -> None:
        self._limit = load.in_flight
        self._queue = load.queue
        self._seconds = load.queue_seconds
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self.in_flight = 0
        """Requests under way, streams until their end."""
        self.draining = False

    @property
    def n_waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    def enter_at_once(self) -> bool:
        """Take a place if there is one now; return whether."""
        if self.in_flight >= self._limit or self.draining:
            return False
        self.in_flight += 1
        return True

    async def enter(self) -> None:
        """Take a place, waiting for one if need be.

        Raises RequestError: 503 while draining, 429 where the queue is full or the wait was too long.
        """
        if self.draining:
            raise _draining()
        if self.enter_at_once():
            return
        if len(self._waiting) >= self._queue:
            raise self._full()
        await self._wait()

    def leave(self) -> None:
        """Give a place back: to the one who has waited longest, if any."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(True)
                return
        self.in_flight -= 1

    def drain(self) -> None:
        """Refuse whatever comes from now on, and whoever still waits; what is under way goes on."""
        self.draining = True
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(False)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        place = loop.create_future()
        self._waiting.append(place)
        timer = loop.call_later(self._seconds, _give_up, place)
        try:
            granted = await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():  # granted in the same step of the loop
                self.leave()
            raise
        finally:
            timer.cancel()
            if place in self._waiting:
                self._waiting.remove(place)
        if not granted:
            raise _draining() if self.draining else self._full()

    def _full(self) -> RequestError:
        return RequestError(
            429,
            "The gateway has as many requests under way as it takes on; try again shortly.",
            code="overloaded",
            headers={"retry-after": str(math.ceil(self._seconds))},
        )


def _give_up(place: "asyncio.Future[bool]") -> None:
    if not place.done():
        place.set_result(False)


def _draining() -> RequestError:
    return RequestError(
        503,
        "This process is stopping; ask again, another one will answer.",
        code="stopping",
        headers={"retry-after": "1", "connection": "close"},
    )
