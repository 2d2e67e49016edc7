"""How bytes become requests: uvicorn's httptools protocol, made strict about time and size and light per request.

A client has so long for a request's head, and as long again for each silence in its body; bodies that drip in are
held to a rate. One timer a connection watches all of that, so that a request costs none. Heads are bounded. What cannot
be read is refused in OpenAI's format, after the answers to what came before it. However bytes are cut into pieces, they
are the same requests: nothing here looks at bytes that the parser has not read. Knows nothing of paths or endpoints.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from lifeloop.core.gateway_brief import Load
from lifeloop.gateway.asking.client import LEFT, TOOK_NOTHING, WHEN_GONE
from lifeloop.gateway.web.cycle import Cycle, head_of
from lifeloop.gateway.web.errors import RequestError, error_body
from lifeloop.gateway.web.heads import (
    MAX_HEAD,
    MAX_HEADERS,
    check_coding,
    check_size,
    refusal_of,
    split,
    too_large,
    without_offer,
)

IDLE_SECONDS = 75.0
"""How long a connection may rest between two requests; longer than clients and proxies keep theirs, so that they are
the ones to close."""
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

_ASGI = {"version": "3.0", "spec_version": "2.3"}
_NOWHERE: Any = deque(maxlen=0)
"""Where trailers go: what comes after a body is no header of the request."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    leaving = False
    """Whether the server is to stop: every answer from then on ends its connection."""
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
        self._refusal: RequestError | None = None  # what follows the answers to what came before it
        self._offers = False  # whether the request that is being read offers to go on in another protocol
        self._chunked = False  # whether its body comes in chunks
        self._n_piece = self._n_head = self._n_body = 0  # bytes of what is being read
        self._n_first = 0  # of the piece in which a head began, with what came before it
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
        self._n_piece = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._read_on(memoryview(data), offer)
        except httptools.HttpParserError as error:
            self._refuse(refusal_of(error))
            return
        if self._in_head:
            self._n_head += self._n_piece
            if self._n_head - self._n_first > MAX_HEAD:
                self._refuse(too_large())

    def _read_on(self, data: memoryview, offer: httptools.HttpParserUpgrade) -> None:
        """Read a request, and what follows it, that offers to go on in another protocol, as Java's client does.

        Nothing else is spoken here, so it is answered as it stands; but the parser takes such a request to end with its
        head. It is given the head once more, without the offer and with whatever says how long the body is.
        """
        try:
            while not self._broken:
                data = data[offer.args[0] :]
                before, self._offers = self.parser, False
                head = without_offer(before.get_method(), self.url, before.get_http_version(), self.headers)
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                try:
                    self.parser.feed_data(head)
                    if data:
                        self.parser.feed_data(data)
                    return
                except httptools.HttpParserUpgrade as another:
                    offer = another
        except httptools.HttpParserError as error:
            self._refuse(refusal_of(error))

    # below: what the parser finds

    def on_message_begin(self) -> None:
        """Begin a head."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._asked = self._in_head = True
        self._began = self._heard
        self._chunked = False
        self._n_head, self._n_first = 0, self._n_piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; refuse a body that is coded in a way that is not undone here, or might be read in two ways."""
        name = name.lower()
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"transfer-encoding" and self._in_head:
            check_coding(value, again=self._chunked)
            self._chunked = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Hand the request to the application, or keep it until those before it are answered."""
        parser = self.parser
        version = parser.get_http_version()
        if self._n_head + self._n_piece > MAX_HEAD or len(self.headers) > MAX_HEADERS:
            check_size(self.url, self.headers)
        if self._chunked and version == "1.0":
            raise RequestError(400, "HTTP/1.0 knows no chunks.", code="invalid_http")
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                raise RequestError(400, "This is no proxy.", code="invalid_http")
            self._offers = True
            return
        raw_path, query = split(self.url)
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
        app: Any = self.app
        before = self.cycle
        self.cycle = Cycle(self, version != "1.0" and parser.should_keep_alive() and not self.leaving)
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
        if self._offers:
            return
        self.cycle.more_body = False
        self.cycle.message_event.set()

    def see_off(self) -> None:
        """End the connection with the answer that is under way, or with the next."""
        if self.cycle is not None:  # the newest: those that wait before it are answered too
            self.cycle.keep_alive = False

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
        elif self._refusal is not None:
            self._say(self._refusal)

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
        """Refuse what cannot be read, after the answers to what came before it, and end the connection."""
        self._broken = True
        self._watch.cancel()
        cycle = self.cycle
        if self.transport.is_closing():
            return
        if cycle is None or cycle.response_complete:
            self._say(error)
        elif not cycle.more_body:  # it came whole before
            self._refusal = error
        elif self.pipeline:  # it is this one's body that cannot be read, and its turn has not come
            self.pipeline.popleft()
            self._refusal = error
        elif cycle.response_started:
            cycle.keep_alive = False
        else:
            cycle.disconnected = True
            cycle.message_event.set()
            self._say(error)

    def _say(self, error: RequestError) -> None:
        """Send an error as the last of this connection."""
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
