"""A client of one HTTP endpoint: many requests under way at once, errors that may pass tried again, limits honoured.

Takes and gives JSON bytes; what they mean is its caller's business. Works on an event loop in a thread of its own, so
that any thread may ask, one request or thousands.
"""

import asyncio
import contextlib
import random
import threading
import weakref
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from urllib.request import getproxies, proxy_bypass

import aiohttp
from msgspec import Struct
from yarl import URL

from lifeloop.core.errors import ModelError
from lifeloop.models.limits import asked_pause

T = TypeVar("T")

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
LEAST_SILENT, LATER_SILENT = 8, 20
TURN = 8
"""Replies that are given out before further requests are sent: more would keep those that came together together, and
an endpoint would see waves with silence between them."""
COOLING = 10.0
"""Seconds after which a silent endpoint is asked once more."""
SILENT = "the endpoint does not answer"


class Reply(Struct, frozen=True):
    """What came back: the body of a success, or why there is none."""

    body: bytes = b""
    error: str = ""


class Endpoint:
    """Posts JSON to one URL. Raises ModelError where the URL, the key or a proxy cannot be used; sends nothing yet."""

    def __init__(self, url: str, key: str, timeout: float, retries: int, concurrency: int) -> None:
        self._url, self._proxy = checked_url(url), checked_proxy(url)
        self._headers = {"Content-Type": "application/json"} | authorization(key)
        self._timeout = timeout
        self._retries = retries
        self._concurrency = concurrency
        self._silent, self._reached, self._ask_again_at = 0, False, 0.0
        self._paused_until = 0.0
        self._loop = _new_loop()
        thread = threading.Thread(target=_run, args=(self._loop,), name="endpoint", daemon=True)
        thread.start()
        self._session = self._wait_for(self._open())
        self._hang_up = weakref.finalize(self, _hang_up, self._loop, thread, self._session)

    def ask(self, body: bytes) -> Reply:
        """Return the reply to one request."""
        return self._wait_for(self._reply(body))

    def ask_each(self, bodies: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Reply]]:
        """Yield each reply with its request's number as they come, at most `concurrency` under way.

        Takes another request only when it can be sent at once, after yielding what has come back until then. Closing
        the iterator cancels the rest.
        """
        waiting = iter(bodies)
        arrived: SimpleQueue[tuple[int, Reply]] = SimpleQueue()
        tasks: set[asyncio.Task[None]] = set()
        under_way, more = 0, True
        try:
            while more or under_way:
                sent: list[tuple[int, bytes]] = []
                while more and under_way + len(sent) < self._concurrency:
                    if (one := next(waiting, None)) is None:
                        more = False
                    else:
                        sent.append(one)
                if sent:
                    under_way += len(sent)
                    self._loop.call_soon_threadsafe(self._start, sent, arrived, tasks)
                if under_way:
                    came = _what_came(arrived)
                    under_way -= len(came)
                    yield from came
        finally:
            if under_way:
                self._loop.call_soon_threadsafe(_cancel, tasks)

    def stream(self, body: bytes) -> Iterator[str]:
        """Yield the lines of a streamed reply as they come. Raises ModelError where it fails or breaks off.

        Closing the iterator hangs up.
        """
        lines: SimpleQueue[str | ModelError | None] = SimpleQueue()

        async def read() -> None:
            try:
                async for line in self._lines(body):
                    lines.put(line)
                lines.put(None)
            except ModelError as error:
                lines.put(error)

        reading = asyncio.run_coroutine_threadsafe(read(), self._loop)
        try:
            while (line := lines.get()) is not None:
                if isinstance(line, ModelError):
                    raise line
                yield line
        finally:
            reading.cancel()

    def close(self) -> None:
        """Hang up and end the thread. Calling it twice does no harm."""
        self._hang_up()

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=self._concurrency),
            # Waiting for a free connection is no silence of the endpoint, so it is not timed.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=self._timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def _start(
        self, sent: list[tuple[int, bytes]], arrived: "SimpleQueue[tuple[int, Reply]]", tasks: set[asyncio.Task[None]]
    ) -> None:
        for number, body in sent:
            task = self._loop.create_task(self._deliver(number, body, arrived))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _deliver(self, number: int, body: bytes, arrived: "SimpleQueue[tuple[int, Reply]]") -> None:
        try:
            reply = await self._reply(body)
        except asyncio.CancelledError:
            reply = Reply(error="it was cancelled")
        except Exception as error:  # whoever waits for this number must hear of it
            reply = Reply(error=f"{type(error).__name__}: {error}")
        arrived.put((number, reply))

    async def _reply(self, body: bytes) -> Reply:
        """Return the reply; waits and tries again after what may pass, with full jitter (Brooker, 2015)."""
        failure = ""
        for attempt in range(self._retries + 1):
            if self._is_silent():
                return Reply(error=SILENT)
            if attempt:
                ceiling = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))
                await asyncio.sleep(ceiling * random.random())
            await self._pause()
            try:
                async with self._session.post(self._url, data=body, proxy=self._proxy) as reply:
                    content = await reply.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failure = _named(error, self._timeout)
                continue
            self._heard()
            self._heed(reply)
            if 200 <= reply.status < 300:
                return Reply(content)
            failure = f"the endpoint answered {reply.status}"
            if reply.status not in PASSING:
                return Reply(error=failure)
        if not failure.startswith("the endpoint answered"):
            self._unheard()
        return Reply(error=f"{failure}, {self._retries + 1} times" if self._retries else failure)

    async def _lines(self, body: bytes) -> AsyncIterator[str]:
        if self._is_silent():
            raise ModelError(SILENT)
        await self._pause()
        try:
            async with self._session.post(self._url, data=body, proxy=self._proxy) as reply:
                self._heard()
                self._heed(reply)
                if not 200 <= reply.status < 300:
                    raise ModelError(f"the endpoint answered {reply.status}")
                async for line in reply.content:
                    yield line.decode("utf-8", "replace").rstrip("\r\n")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:  # ValueError: an endless line
            raise ModelError(_named(error, self._timeout)) from None

    async def _pause(self) -> None:
        """Wait while the endpoint wants nobody to send."""
        while (left := self._paused_until - self._loop.time()) > 0:
            await asyncio.sleep(left)

    def _heed(self, reply: aiohttp.ClientResponse) -> None:
        if pause := asked_pause(reply.status, reply.headers):
            self._paused_until = max(self._paused_until, self._loop.time() + min(pause, LONGEST_WAIT))

    def _heard(self) -> None:
        self._silent, self._reached = 0, True

    def _unheard(self) -> None:
        self._silent += 1
        self._ask_again_at = self._loop.time() + COOLING

    def _is_silent(self) -> bool:
        """Return whether so many requests in a row came to nothing that further ones would only cost time.

        After a while one is let through, which finds out whether the endpoint is back.
        """
        bound = LATER_SILENT if self._reached else max(LEAST_SILENT, self._concurrency)
        if self._silent < bound:
            return False
        if self._loop.time() >= self._ask_again_at:
            self._ask_again_at = self._loop.time() + COOLING
            return False
        return True


def checked_url(url: str) -> URL:
    """Return the URL. Raises ModelError where nothing can be sent to it."""
    try:
        found = URL(url)
        usable = found.scheme in ("http", "https") and bool(found.host) and found.port is not None
    except ValueError:
        usable = False
    if not usable:
        raise ModelError(f"{url!r} is no address of an endpoint", fix="write one like https://HOST/v1")
    return found


def checked_proxy(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, or None. Raises ModelError where it cannot be used."""
    target = URL(url)
    named = getproxies()
    proxy = named.get(target.scheme) or named.get("all")
    if not proxy or proxy_bypass(f"{target.host}:{target.port}"):
        return None
    try:
        found = URL(proxy)
        usable = found.scheme in ("http", "https") and bool(found.host)
    except ValueError:
        usable = False
    if not usable:
        variable = f"{target.scheme}_proxy"
        raise ModelError(f"the proxy {proxy!r} is no HTTP address", where=variable, fix=f"mend or unset {variable}")
    return proxy


def authorization(key: str) -> dict[str, str]:
    """Return the header that carries a key, or none for "". Raises ModelError where no header can hold it."""
    if not key.isascii() or not key.isprintable():
        raise ModelError("the key holds characters that no key has", fix="copy it anew, without quotes or line ends")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # where it cannot be installed, the loop of the standard library is slower and no worse
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _hang_up(loop: asyncio.AbstractEventLoop, thread: threading.Thread, session: aiohttp.ClientSession) -> None:
    """Cancel what is under way, close the connections and end the thread."""

    async def work() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        _cancel(others)
        await asyncio.gather(*others, return_exceptions=True)
        await session.close()
        loop.stop()

    loop.call_soon_threadsafe(lambda: loop.create_task(work()))
    if threading.current_thread() is not thread:  # it is, where a task held the last reference to its endpoint
        thread.join()


def _what_came(arrived: "SimpleQueue[tuple[int, Reply]]") -> list[tuple[int, Reply]]:
    """Return what has arrived, a few at most; waits for the first."""
    came = [arrived.get()]
    with contextlib.suppress(Empty):
        while len(came) < TURN:
            came.append(arrived.get_nowait())
    return came


def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in list(tasks):
        task.cancel()


def _named(error: Exception, timeout: float) -> str:
    """Return in words what went wrong on the way."""
    if isinstance(error, TimeoutError):
        return f"the endpoint took longer than {timeout:g} s"
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return "no connection through the proxy"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "no connection to the endpoint"
    return "the endpoint broke off"
