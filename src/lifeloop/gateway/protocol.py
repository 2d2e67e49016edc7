"""How bytes become requests: uvicorn's httptools protocol, made strict about time and size and light per request.

A client has so long for a request's head, and as long again for each silence in its body; bodies that drip in are
held to a rate. One timer a connection watches all of that, so that a request costs none. Heads are bounded. What cannot
be read is refused in OpenAI's format, and never in the middle of another answer. Knows nothing of paths or endpoints.
"""

import asyncio
import re
import socket
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from lifeloop.core.gateway_brief import Load
from lifeloop.gateway.client import LEFT, TOOK_NOTHING, WHEN_GONE
from lifeloop.gateway.cycle import Cycle, head_of
from lifeloop.gateway.errors import RequestError, error_body

IDLE_SECONDS = 75.0
"""How long a connection may rest between two requests; longer than clients and proxies keep theirs, so that they are
the ones to close."""
MAX_HEAD = 64 * 1024
"""Bytes of a head that comes in several pieces; one piece is no larger than the read buffer."""
MAX_HEADERS = 256
"""Headers of a request."""
MIN_BODY_RATE = 500.0
"""Bytes a second that a body must come by, on the whole."""
STALL_SECONDS = 30.0
"""How long a client may take nothing of what it is sent."""
MAX_PIPELINED = 256
"""Requests that a client may send ahead of its answers."""
LINGER_SECONDS = 30.0
"""How long the rest of a body is read, and thrown away, after its request was refused."""
CLOSING_SECONDS = 2.0
"""The same where the connection itself is to end."""

_OFFER = re.compile(rb"(?im)^upgrade[ \t]*:[^\r\n]*\r\n")
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_NOWHERE: Any = deque(maxlen=0)
"""Where trailers go: what comes after a body is no header of the request."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    seconds = Load().header_seconds
    """For a head, and for each silence in a body."""

    def connection_made(self, transport: Any) -> None:
        """Begin to watch the time."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._gone = ""  # why the client is gone
        self._tell: Callable[[str], None] | None = None  # whom that is told in the middle of a response
        self._stalled: asyncio.TimerHandle | None = None
        self._asked = False  # whether a first request has begun
        self._in_head = True
        self._broken = False  # whether what comes is no longer read
        self._n_head = self._n_body = 0  # bytes of what is being read
        self._began = self._heard = self._rested = self.loop.time()
        self._looked = (self._began, 0)  # when the body was last looked at, and how much of it there was
        self._watch = self.loop.call_at(self._began + self.seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        self._watch.cancel()
        if self._stalled is not None:
            self._stalled.cancel()
        super().connection_lost(exc)
        self._gone = self._gone or LEFT
        if self._tell is not None:
            self._tell(self._gone)
            self._tell = None

    def when_gone(self, tell: Callable[[str], None]) -> None:
        """Call this once the client is gone, with the reason, unless the response that is under way ends before."""
        if self._gone:
            tell(self._gone)
        else:
            self._tell = tell

    def pause_writing(self) -> None:
        """Wait for a client that takes nothing, but not for ever."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALL_SECONDS, self._hang_up)

    def resume_writing(self) -> None:
        """Go on with a client that takes again."""
        if self._stalled is not None:
            self._stalled.cancel()
        super().resume_writing()

    def _hang_up(self) -> None:
        self._gone = TOOK_NOTHING
        self.transport.abort()  # closing would wait until the client has taken what is buffered

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        if self._broken:
            return
        self._heard = self.loop.time()
        if b"pgrade" in data and (self.cycle is None or not self.cycle.more_body):
            data = _without_offer(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # nothing else is spoken here: the request is answered as it stands
        except httptools.HttpParserError:
            self._refuse(RequestError(400, "This is no HTTP request.", code="invalid_http"))
            return
        if self._in_head:
            self._n_head += len(data)
            if self._n_head > MAX_HEAD:
                self._refuse(_too_large())

    # below: what the parser finds

    def on_message_begin(self) -> None:
        """Begin a head."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._asked = self._in_head = True
        self._began = self._heard
        self._n_head = 0

    def on_headers_complete(self) -> None:
        """Hand the request to the application, or keep it until those before it are answered."""
        parser = self.parser
        version = parser.get_http_version()
        raw_path, query = _split(self.url)
        path = raw_path.decode("ascii")  # anything else fails the parser: a 400
        headers = self.headers
        scope: Any = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "headers": headers,
            "method": parser.get_method().decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            WHEN_GONE: self.when_gone,
        }
        self.scope = scope
        self.headers = _NOWHERE
        self._in_head = False
        self._n_body = 0
        self._looked = (self._heard, 0)
        app: Any = self.app if len(headers) <= MAX_HEADERS else _refuse_head
        before = self.cycle
        self.cycle = Cycle(self, version != "1.0" and parser.should_keep_alive())
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, app)
            return
        self.flow.pause_reading()
        self.pipeline.appendleft((self.cycle, app))
        if len(self.pipeline) > MAX_PIPELINED:
            self._broken = True
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of a body until the application takes it; no longer read where it takes nothing."""
        cycle = self.cycle
        if cycle.response_complete:
            return
        self._n_body += len(body)
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """End a request."""
        self.cycle.more_body = False
        self.cycle.message_event.set()

    # below: responses and time

    def on_response_complete(self) -> None:
        """Start the request that waits behind, if any."""
        self.server_state.total_requests += 1
        self._tell = None
        if self.transport.is_closing():
            return
        self._rested = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    def _look(self) -> None:
        """End the connection if its client has had its time; else look again."""
        now = self.loop.time()
        deadline, late = self._deadline(now)
        if now < deadline:
            self._watch = self.loop.call_at(min(deadline, now + self.seconds / 2), self._look)
        elif late:
            self._refuse(RequestError(408, late, code="request_timeout"))
        else:
            self.transport.close()

    def _deadline(self, now: float) -> tuple[float, str]:
        """Return when the client's time is up, and what it is then told; "": nothing, the connection just ends."""
        cycle = self.cycle
        if self._in_head:
            if cycle is not None and not cycle.response_complete:  # sent ahead of its turn
                return now + self.seconds, ""
            return self._began + self.seconds, "The head of the request did not come in time." if self._asked else ""
        if cycle.response_complete and not self.pipeline:
            return self._rested + (LINGER_SECONDS if cycle.more_body else IDLE_SECONDS), ""
        if not cycle.more_body or self.flow.read_paused or self.pipeline:  # it is not for the client to do anything
            self._looked = (now, self._n_body)
            return now + self.seconds, ""
        since, had = self._looked
        if now - since < self.seconds:
            return min(self._heard, since) + self.seconds, ""
        self._looked = (now, self._n_body)
        steady = self._n_body - had >= MIN_BODY_RATE * (now - since)
        return now + self.seconds if steady else now, "The body did not come in time."

    def _refuse(self, error: RequestError) -> None:
        """Refuse what cannot be read, after the answer that is under way if there is one, and end the connection."""
        self._broken = True
        self._watch.cancel()
        cycle = self.cycle
        if self.pipeline or self.transport.is_closing():
            self.transport.close()
            return
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started or not cycle.more_body:
                cycle.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
        body = error_body(error)
        lines = [STATUS_LINE.get(error.status, b""), *(b"%b: %b\r\n" % pair for pair in head_of(body))]
        self.transport.write(b"".join([*lines, b"connection: close\r\n\r\n", body]))
        self.transport.write_eof()  # what the client still sends is read and thrown away, so that it reads our answer
        self.loop.call_later(CLOSING_SECONDS, self.transport.close)


def protocol_of(load: Load) -> type[Protocol]:
    """Return the protocol with the brief's limits, for `uvicorn.Config(http=…)`."""

    class Limited(Protocol):
        seconds = load.header_seconds

    return Limited


def _without_offer(data: bytes) -> bytes:
    """Return a head without its offer to speak another protocol (as Java's client makes), which the server ignores.

    The parser would ignore the body instead.
    """
    head, gap, body = data.partition(b"\r\n\r\n")
    return _OFFER.sub(b"", head + gap) + body


async def _refuse_head(scope: Any, receive: Any, send: Any) -> None:
    body = error_body(_too_large())
    await send({"type": "http.response.start", "status": 431, "headers": head_of(body)})
    await send({"type": "http.response.body", "body": body})


def _too_large() -> RequestError:
    return RequestError(431, "The head of the request is too large.", code="head_too_large")


def _split(url: bytes) -> tuple[bytes, bytes]:
    """Return the path and the query of a request's target."""
    if url.startswith(b"/"):
        path, _, query = url.partition(b"?")
        return path, query
    parsed = httptools.parse_url(url)  # a whole URL, as proxies are asked; raises where it is none
    return parsed.path or b"/", parsed.query or b""
