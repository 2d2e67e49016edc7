"""The client of one stream: takes bytes out to it, and notices when it leaves or takes nothing for long.

Either cancels the task that streams, which ends it wherever it waits. One task waits for the client's leaving and one
timer looks at the time, whatever the number of pieces. Knows nothing of what is sent.
"""

import asyncio
from typing import Any

from lifeloop.gateway.pieces import STALL_SECONDS

HANG_UP = "lifeloop.hang_up"
"""Key of the scope under which a protocol may say how a connection is ended at once."""
LEFT = "the connection ended"
TOOK_NOTHING = "the client took nothing"


class Client:
    """Made in the task that streams; `let_go` ends the watching."""

    __slots__ = ("_hang_up", "_loop", "_send", "_since", "_streaming", "_timer", "_watcher", "begun", "gone")

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.gone = ""
        """Why the client is gone; "" while it is there."""
        self.begun = False
        """Whether the head of the response has gone out."""
        self._send = send
        self._hang_up = scope.get(HANG_UP)
        self._since = 0.0  # when the bytes went out that the client has not taken; 0 where it has
        self._loop = asyncio.get_running_loop()
        self._streaming: Any = asyncio.current_task()
        self._watcher = self._loop.create_task(self._until_gone(receive))
        self._timer = self._loop.call_later(STALL_SECONDS, self._look_at_the_time)

    async def begin(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of a response of status 200."""
        self.begun = True
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def put(self, data: bytes, more: bool = True) -> None:
        """Send bytes; waits while the client does not take what went before."""
        self._since = self._loop.time()
        await self._send({"type": "http.response.body", "body": data, "more_body": more})
        self._since = 0.0

    def forgive(self) -> None:
        """Let the task go on that was cancelled because the client is gone."""
        self._streaming.uncancel()

    def let_go(self) -> None:
        """End the watching."""
        self._watcher.cancel()
        self._timer.cancel()

    async def _until_gone(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._leave(LEFT)

    def _look_at_the_time(self) -> None:
        left = STALL_SECONDS
        if self._since:
            left -= self._loop.time() - self._since
            if left <= 0.0:
                self._leave(TOOK_NOTHING)
                if self._hang_up is not None:
                    self._hang_up()  # closing would wait until it has taken what is buffered
                return
        self._timer = self._loop.call_later(max(left, 0.001), self._look_at_the_time)

    def _leave(self, why: str) -> None:
        if not self.gone:
            self.gone = why
            self._streaming.cancel()
