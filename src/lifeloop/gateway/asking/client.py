"""The client of one stream: takes bytes out to it, and ends the stream when it leaves or takes nothing for long.

The server's protocol notices either and says so; that cancels the task that streams, which ends it wherever it waits.
Knows nothing of what is sent.
"""

import asyncio
from typing import Any

WHEN_GONE = "lifeloop.when_gone"
"""Key of the scope under which the protocol takes a function that it calls, once, with why the client is gone."""
LEFT = "the connection ended"
TOOK_NOTHING = "the client took nothing"


class Client:
    """Made in the task that streams; after `let_go` its leaving changes nothing."""

    __slots__ = ("_let_go", "_send", "_streaming", "begun", "gone")

    def __init__(self, scope: Any, send: Any) -> None:
        self.gone = ""
        """Why the client is gone; "" while it is there."""
        self.begun = False
        """Whether the head of the response has gone out."""
        self._send = send
        self._let_go = False
        self._streaming: Any = asyncio.current_task()
        scope[WHEN_GONE](self._leave)

    async def begin(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of a response of status 200."""
        self.begun = True
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def put(self, data: bytes, more: bool = True) -> None:
        """Send bytes; waits while the client does not take what went before."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    def forgive(self) -> None:
        """Let the task go on that was cancelled because the client is gone."""
        self._streaming.uncancel()

    def let_go(self) -> None:
        """Say that the stream is over."""
        self._let_go = True

    def _leave(self, why: str) -> None:
        if not self._let_go:
            self.gone = why
            self._streaming.cancel()
