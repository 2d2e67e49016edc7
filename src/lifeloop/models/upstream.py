"""The fast way to an endpoint: requests on the caller's own event loop, over connections that are kept.

Takes JSON bytes, gives status, headers and bytes, whole or as they come; tries once and raises Unanswered, which says
whether asking again may help. What bodies mean is its caller's business, and so is trying again.
"""

import asyncio
import contextlib
import ssl
import threading
from collections import deque
from collections.abc import AsyncIterator
from functools import partial

from lifeloop.models.endpoint import LONGEST_WAIT, PASSING, authorization
from lifeloop.models.limits import asked_pause
from lifeloop.models.model import Unanswered
from lifeloop.models.upstream_connection import Connection, Exchange, Headers, Stale
from lifeloop.models.upstream_opening import Way, basic, host_header

CONNECTIONS = 256
"""Connections that a process holds to one endpoint at most."""
MOST_BYTES = 64 * 1024 * 1024
"""Bytes of one response."""


class Upstream:
    """Posts JSON to one URL. Raises ModelError where the URL, the key or a proxy cannot be used; sends nothing yet."""

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        connections: int = CONNECTIONS,
        most_bytes: int = MOST_BYTES,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._way = Way(url, context)
        self._head = _head(self._way, key)
        self._connections, self._most_bytes = max(1, connections), most_bytes
        self._pools: dict[asyncio.AbstractEventLoop, Pool] = {}
        self._pool: Pool | None = None
        self._lock = threading.Lock()
        self._closed = False

    async def post(self, body: bytes, seconds: float) -> tuple[int, Headers, bytes]:
        """Return status, headers and body of the response, within `seconds` in all. Raises Unanswered."""
        pool = self._here()
        now = pool.loop.time
        begun = now()
        connection = pool.take() or await pool.wait(seconds)
        head = self._head + b"%d\r\n\r\n" % len(body)
        exchange = connection.ask(head, body, seconds, waited=now() - begun)
        try:
            whole = await exchange.whole()
        except Stale:
            connection = await pool.renew(seconds - (now() - begun))
            exchange = connection.ask(head, body, seconds, waited=now() - begun)
            whole = await exchange.whole()
        return exchange.status, exchange.headers, whole

    async def stream(self, body: bytes, seconds: float) -> "Stream":
        """Return a response once its status and the first bytes of its body are there. Raises Unanswered.

        It has `seconds` in all until its reader says that it `moved`, and from then on as long each time.
        """
        pool = self._here()
        now = pool.loop.time
        begun = now()
        connection = pool.take() or await pool.wait(seconds)
        head = self._head + b"%d\r\n\r\n" % len(body)
        exchange = connection.ask(head, body, seconds, waited=now() - begun, streams=True)
        try:
            try:
                first = await exchange.more()
            except Stale:
                connection = await pool.renew(seconds - (now() - begun))
                exchange = connection.ask(head, body, seconds, waited=now() - begun, streams=True)
                first = await exchange.more()
        except BaseException:
            exchange.leave()
            raise
        return Stream(exchange, first)

    def close(self) -> None:
        """Hang up. From any thread; calling it twice does no harm."""
        with self._lock:
            self._closed = True
            pools, self._pools, self._pool = dict(self._pools), {}, None
        for loop, pool in pools.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed, and with it its connections
                loop.call_soon_threadsafe(pool.close)

    def _here(self) -> "Pool":
        """Return the connections of the loop that runs."""
        loop = asyncio.get_running_loop()
        pool = self._pool
        if pool is not None and pool.loop is loop:
            return pool
        with self._lock:
            if self._closed:
                raise Unanswered("failed", "the client was closed", passing=False)
            self._pools = {each: pool for each, pool in self._pools.items() if not each.is_closed()}
            if loop not in self._pools:
                self._pools[loop] = Pool(loop, self._way, self._connections, self._most_bytes)
            self._pool = self._pools[loop]
            return self._pool


class Stream:
    """A response as it comes: `status`, `headers`, and an async iterator of its body's bytes, a read at a time."""

    def __init__(self, exchange: Exchange, first: bytes) -> None:
        self._exchange, self._first = exchange, first
        self.status, self.headers = exchange.status, exchange.headers
        self._left = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return all that has come since. Raises Unanswered where the response breaks off."""
        piece, self._first = self._first, b""
        if not piece and not (piece := await self._exchange.more()):
            raise StopAsyncIteration
        return piece

    def moved(self) -> None:
        """Say that what came says something: the endpoint has its time anew."""
        self._exchange.moved()

    def done(self) -> None:
        """Say that all that matters has come: the connection is kept, if the rest comes in a moment."""
        self._left = True
        self._exchange.linger()

    def close(self) -> None:
        """Hang up, unless the response is over or `done`. Calling it twice does no harm."""
        if not self._left:
            self._exchange.leave()


class Pool:
    """The connections of one event loop: the last used is used first, and who waits longest is served first."""

    def __init__(self, loop: asyncio.AbstractEventLoop, way: Way, most: int, most_bytes: int) -> None:
        self.loop = loop
        self._make = partial(Connection, self, most_bytes)
        self._way, self._most = way, most
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._places = 0
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._closed = False

    @property
    def in_use(self) -> int:
        """How many connections carry a request or are being opened."""
        return self._places - len(self._idle)

    def take(self) -> Connection | None:
        """Return a connection that waits for work, or None."""
        idle = self._idle
        return idle.pop() if idle else None

    async def wait(self, seconds: float) -> Connection:
        """Return a connection: a new one, or where there is no place for one, the next that comes free.

        Raises Unanswered, also where none was to be had in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if self._places < self._most:
                        self._places += 1
                    elif (free := await self._turn()) is not None:
                        if free.closed:  # since it came free
                            continue
                        return free
                    return await self._open()
        except TimeoutError:
            raise Unanswered("timed out", f"no connection to the endpoint within {seconds:g} s") from None

    async def renew(self, seconds: float) -> Connection:
        """Return a new connection in place of one that was stale."""
        for connection in self._idle.copy():  # the last used is used first, so these have been idle for longer still
            connection.hang_up()
        return await self.wait(seconds)

    def took_back(self, connection: Connection) -> None:
        """Give a connection to whoever waits longest, or keep it."""
        if self._closed:
            connection.hang_up()
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """Forget a connection that ended; its place is free."""
        if connection in self._all:
            self._all.discard(connection)
            with contextlib.suppress(ValueError):
                self._idle.remove(connection)
            self._give_place()

    def close(self) -> None:
        """Hang up. On the loop."""
        self._closed = True
        for connection in list(self._all):
            connection.hang_up()

    async def _open(self) -> Connection:
        """Fill the place that was taken for it; give it back where that fails."""
        try:
            connection = await self._way.open(self._make)
        except BaseException:
            self._give_place()
            raise
        if connection.closed:  # ended already
            self._give_place()
            raise Unanswered("failed", "the endpoint broke off")
        self._all.add(connection)
        return connection

    async def _turn(self) -> Connection | None:
        """Wait for a connection, or for the place of one that ended (None)."""
        waiter: asyncio.Future[Connection | None] = self.loop.create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # what came together with the cancelling is passed on
                if (connection := waiter.result()) is None:
                    self._give_place()
                elif not connection.closed:
                    self.took_back(connection)
            raise

    def _give_place(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._places -= 1


def _head(way: Way, key: str) -> bytes:
    """Return the lines that each request begins with, up to the length of its body."""
    credentials = authorization(key).get("Authorization") or basic(way.url)
    lines = [
        f"POST {way.target} HTTP/1.1",
        f"Host: {host_header(way.url)}",
        "User-Agent: lifeloop",
        "Accept: application/json, text/event-stream",
        "Content-Type: application/json",
    ]
    if credentials:
        lines.append(f"Authorization: {credentials}")
    return "\r\n".join(lines).encode() + b"\r\n" + way.proxy_header + b"Content-Length: "


def check(status: int, headers: Headers) -> None:
    """Raise Unanswered for a response that is no success."""
    if 200 <= status < 300:
        return
    named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    wait = min(LONGEST_WAIT, asked_pause(status, named))
    raise Unanswered("failed", f"the endpoint answered {status}", passing=status in PASSING, status=status, wait=wait)
