"""One request and its response on a connection: ASGI messages in, bytes out, head and body in one write.

uvicorn's own, without what a response of ours never needs: names and values of headers are checked where they are made.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from lifeloop.gateway.web.errors import error_body, failed
from lifeloop.gateway.web.http import JSON, WHOLE, Headers, request_ids

if TYPE_CHECKING:  # it makes us
    from lifeloop.gateway.web.protocol import Protocol

_IDS = request_ids()
_line = b": ".join


class Cycle(RequestResponseCycle):
    """One request and its response."""

    def __init__(self, protocol: "Protocol", keep_alive: bool) -> None:
        self.scope = protocol.scope
        self.transport = protocol.transport
        self.flow: FlowControl = protocol.flow
        self.logger = protocol.logger
        self.default_headers = protocol.server_state.default_headers
        self.message_event = asyncio.Event()
        self.on_response = protocol.on_response_complete
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = protocol.expect_100_continue
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding: bool | None = None
        self.expected_content_length = 0
        self._head: bytes = b""
        self._received = False
        self._has_body = self.scope["method"] != "HEAD"

    async def receive(self) -> Any:
        """Give an ASGI message; a body that is there already, whole, without waiting."""
        if self.more_body or self.waiting_for_100_continue or self.disconnected or self._received:
            return await super().receive()
        self._received = True
        body, self.body = bytes(self.body), bytearray()
        self.message_event.clear()
        if len(body) > HIGH_WATER_LIMIT:  # at which reading stopped: a client that leaves would not be noticed
            self.flow.resume_reading()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        """Take an ASGI message; waits while the client does not take what went before."""
        if self.disconnected:
            return
        if self.flow.write_paused:
            await self.flow.drain()
            if self.disconnected:
                return
        kind = message["type"]
        if kind == WHOLE:
            self._start(message)
            self._continue(message["body"], False)
        elif kind == "http.response.start":
            self._start(message)
        else:
            self._continue(message.get("body", b""), message.get("more_body", False))

    def _start(self, message: Any) -> None:
        if self.response_started:
            raise RuntimeError("the response has begun")
        self.response_started = True
        self.waiting_for_100_continue = False
        headers = [*self.default_headers, *message["headers"]]
        named = dict(headers)
        if b"connection" in named:  # the only one we are asked for is "close"
            self.keep_alive = False
            headers = [header for header in headers if header[0] != b"connection"]
        self.chunked_encoding = message["status"] != 204 and b"content-length" not in named
        if self.chunked_encoding:
            if self.scope["http_version"] == "1.1":
                headers.append((b"transfer-encoding", b"chunked"))
            else:  # HTTP/1.0 knows no chunks: the end of the connection is the end of the body
                self.chunked_encoding = False
                self.keep_alive = False
        if not self.keep_alive:
            headers.append((b"connection", b"close"))
        self._head = STATUS_LINE[message["status"]] + b"\r\n".join(map(_line, headers)) + b"\r\n\r\n"

    def _continue(self, body: bytes, more: bool) -> None:
        if self.response_complete or not self.response_started:
            raise RuntimeError("a piece of a response outside of one")
        if not self._has_body:
            out = self._head
        elif not self.chunked_encoding:
            out = self._head + body
        else:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            out = self._head + chunk + (b"" if more else b"0\r\n\r\n")
        self._head = b""
        if out:
            self.transport.write(out)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    async def send_500_response(self) -> None:
        """Answer a request whose application ended without an answer, as when it is cancelled."""
        body = error_body(failed())
        headers = head_of(body)
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def head_of(body: bytes) -> Headers:
    """Return the headers of an error that no endpoint made."""
    return [JSON, (b"content-length", b"%d" % len(body)), (b"x-request-id", next(_IDS).encode())]
