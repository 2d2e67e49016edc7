"""One keep-alive HTTP/1.1 connection to an endpoint: sends a request, reads its response whole or as it comes.

Takes bytes ready to be written, gives status, headers and body; ends what takes too long or is no HTTP. Knows nothing
of how it was opened, of who waits for it, or of what bodies mean.
"""

import asyncio
from typing import Any, Protocol

import httptools

from lifeloop.models.model import Unanswered

Headers = list[tuple[bytes, bytes]]

ONE_WRITE = 65536
"""Bytes up to which head and body are copied into one buffer: one system call is cheaper than two."""
AHEAD = 262_144
"""Bytes of a stream that may wait for their reader before the endpoint is read no further."""
IDLE_SECONDS = 60.0
"""A connection that nobody used for so long is closed."""
LINGER_SECONDS = 2.0
"""How long the last bytes of a response may take that nobody reads on; a connection without them is closed."""


class Stale(Unanswered):
    """The other side had closed the connection before it read the request: another one may be tried."""


class Owner(Protocol):
    """Who keeps connections. Called once after each exchange, with the one or the other."""

    def took_back(self, connection: "Connection") -> None:
        """Hear that it can take another request."""

    def lost(self, connection: "Connection") -> None:
        """Hear that it is closed."""


class Exchange:
    """A request under way and what has come of its response."""

    __slots__ = ("ahead", "connection", "failure", "finished", "headers", "pieces", "seconds", "size", "status",
                 "streams", "to_the_end", "waiter")  # fmt: skip

    def __init__(self, connection: "Connection", seconds: float, streams: bool) -> None:
        self.connection = connection
        self.seconds, self.streams = seconds, streams
        self.status = 0
        self.headers: Headers = []
        self.pieces: list[bytes] = []
        self.size = self.ahead = 0
        self.finished = False
        self.failure: Unanswered | None = None
        self.to_the_end = True  # until a header says where the body ends
        self.waiter: asyncio.Future[None] | None = None

    async def whole(self) -> bytes:
        """Return the body once it is whole. Raises Unanswered; hangs up where it is cancelled."""
        if not self.finished and self.failure is None:
            self.waiter = self.connection.loop.create_future()
            try:
                await self.waiter
            except asyncio.CancelledError:
                self.leave()
                raise
        if self.failure is not None:
            raise self.failure
        pieces = self.pieces
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def more(self) -> bytes:
        """Return what has come of the body since; waits for something; b"" at its end. Raises Unanswered.

        `status` is known once this returns.
        """
        if not self.pieces and not self.finished and self.failure is None:
            self.waiter = self.connection.loop.create_future()
            await self.waiter
        if self.pieces:
            pieces, self.pieces = self.pieces, []
            self.ahead = 0
            self.connection.read_on()
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self.failure is not None:
            raise self.failure
        return b""

    def moved(self) -> None:
        """Say that the stream has come on: another silence begins. Bytes alone do not say so."""
        self.connection.wait_on(self)

    def leave(self) -> None:
        """Hang up, unless the response is over."""
        self.connection.hang_up(self)

    def linger(self) -> None:
        """Say that nobody reads on, and that the end is near: the connection is kept if it comes in a moment."""
        self.connection.linger(self)

    def wake(self) -> None:
        """Let whoever waits look."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Connection(asyncio.Protocol):
    """A connection. One exchange at a time; `owner` is told when it can take another or is closed."""

    __slots__ = ("_begun", "_deadline", "_exchange", "_most", "_n_asked", "_owner", "_parser", "_paused", "_spoilt",
                 "_timer", "_timer_at", "_transport", "closed", "loop")  # fmt: skip

    def __init__(self, owner: Owner, most_bytes: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.closed = False
        self._owner, self._most = owner, most_bytes
        self._transport: Any = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._n_asked = 0
        self._begun = self._paused = self._spoilt = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._deadline = 0.0

    # what is asked of it

    def ask(self, head: bytes, body: bytes, seconds: float, *, waited: float = 0.0, streams: bool = False) -> Exchange:
        """Send a request. It has `seconds` for the whole response, less what it `waited` before; a stream has it until
        its reader says that it `moved`, and from then on as long until it does so again.
        """
        self._exchange = exchange = Exchange(self, seconds, streams)
        self._n_asked += 1
        self._begun = False
        if len(body) <= ONE_WRITE:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        self._arm(seconds - waited)
        return exchange

    def hang_up(self, exchange: Exchange | None = None) -> None:
        """Close at once, or only if this exchange is the one under way."""
        if exchange is None or exchange is self._exchange:
            self._end(Unanswered("failed", "the connection was given up"))

    def wait_on(self, exchange: Exchange) -> None:
        """Give a stream its time anew. The timer comes too early then, and looks again."""
        if exchange is self._exchange:
            self._deadline = self.loop.time() + exchange.seconds

    def linger(self, exchange: Exchange) -> None:
        """Read the rest of a response for nobody, for a moment."""
        if exchange is self._exchange:
            exchange.streams = False
            exchange.waiter = None
            self.read_on()
            self._arm(LINGER_SECONDS)

    def read_on(self) -> None:
        """Read again, where reading was paused."""
        if self._paused:
            self._paused = False
            if not self.closed:
                self._transport.resume_reading()

    # what the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport. Both event loops have set TCP_NODELAY on it."""
        self._transport = transport
        self._arm(IDLE_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Read on; what nobody asked for, or what is no HTTP, ends the connection."""
        exchange = self._exchange
        if exchange is None:
            self._end(None)
            return
        self._begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end(exchange.failure or Unanswered("failed", "the endpoint answered with what is no HTTP"))
            return
        except httptools.HttpParserUpgrade:
            self._end(Unanswered("failed", "the endpoint wants another protocol"))
            return
        if exchange.failure is not None:
            self._end(exchange.failure)
        elif exchange.finished:
            self._over(exchange)
        elif exchange.streams and exchange.pieces:
            if exchange.ahead > AHEAD and not self._paused:
                self._paused = True
                self._transport.pause_reading()
            exchange.wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Note the end; a body that only the end of the connection ends is whole now."""
        exchange = self._exchange
        if exchange is not None and error is None and exchange.size and exchange.to_the_end:
            exchange.finished = True
        if self._n_asked > 1 and not self._begun:
            self._end(Stale("failed", "the endpoint broke off"))
        else:
            self._end(Unanswered("failed", "the endpoint broke off"))

    # what the parser says

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        exchange = self._exchange
        if exchange is None or exchange.finished:
            return
        exchange.headers.append((name, value))
        if exchange.to_the_end and name.lower() in (b"content-length", b"transfer-encoding"):
            exchange.to_the_end = False

    def on_body(self, piece: bytes) -> None:
        """Keep a piece, up to the largest size."""
        exchange = self._exchange
        if exchange is None or exchange.finished:
            return
        if not exchange.status:
            exchange.status = self._parser.get_status_code()
        exchange.pieces.append(piece)
        n = len(piece)
        exchange.size += n
        exchange.ahead += n
        if exchange.size > self._most:
            exchange.failure = Unanswered("failed", f"the endpoint's answer is larger than {self._most} bytes")

    def on_message_complete(self) -> None:
        """Note the end of the response; "100 Continue" and its like are none."""
        exchange = self._exchange
        status = self._parser.get_status_code()
        if exchange is None or exchange.finished:  # a second response, which nobody asked for
            self._spoilt = True
        elif status < 200:
            exchange.headers = []
            exchange.to_the_end = True
        else:
            exchange.status, exchange.finished = status, True
            if not self._parser.should_keep_alive():
                self._spoilt = True

    # its own affairs

    def _over(self, exchange: Exchange) -> None:
        """Hand a whole response over; be free for another request, or close where there can be none."""
        if self._spoilt or self._transport.is_closing():
            self._end(None)
            return
        self._exchange = None
        self._arm(IDLE_SECONDS)
        self.read_on()
        exchange.wake()
        self._owner.took_back(self)

    def _end(self, failure: Unanswered | None) -> None:
        """Close, tell the exchange under way why, and the owner that it is gone. Once."""
        if self.closed:
            return
        self.closed = True
        exchange, self._exchange = self._exchange, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
        self._parser = None  # it holds methods of ours
        if exchange is not None:
            if not exchange.finished:
                exchange.failure = failure
            exchange.wake()
        self._owner.lost(self)

    def _arm(self, seconds: float) -> None:
        """Let time run out in so many seconds. The timer itself is moved only where it would come too late: most
        requests end long before, and a timer for each would cost more than all else that is done for them here.
        """
        self._deadline = deadline = self.loop.time() + seconds
        if self._timer is None or self._timer_at > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self.loop.call_at(deadline, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        self._timer = None
        left = self._deadline - self.loop.time()
        exchange = self._exchange
        if left > 0.0005:
            self._arm(left)
        elif exchange is not None and exchange.streams and exchange.pieces:  # its reader is silent, not the endpoint
            self._arm(exchange.seconds)
        elif exchange is not None:
            seconds = exchange.seconds
            self._end(Unanswered("timed out", f"the endpoint took longer than {seconds:g} s"))
        else:
            self._end(None)
