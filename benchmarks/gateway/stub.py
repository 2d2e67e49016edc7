"""A stub of an OpenAI-compatible endpoint, fast enough never to be what is measured: whole completions and streams.

Run as a process of its own: `stub.py [--port 0] [--latency SECONDS] [--gap SECONDS] [--pieces N]`; prints its port. A
stream has `pieces` chunks with `gap` between them; with a gap of 0 they leave in one write.
"""

import argparse
import asyncio
from typing import ClassVar

import msgspec
import uvloop

TEXT = "Your parcel left our warehouse this morning and should reach you by Thursday."


def _chunk(**fields: object) -> bytes:
    """Return a server-sent event as one chunk of a chunked body."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "stub"}
    line = b"data: " + msgspec.json.encode(head | fields) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(line), line)


def _whole() -> bytes:
    message = {"role": "assistant", "content": TEXT}
    body = msgspec.json.encode(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "stub",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 42, "completion_tokens": 18, "total_tokens": 60},
        }
    )
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


WHOLE = _whole()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def stream(pieces: int) -> list[bytes]:
    """Return what is written for a stream, a piece at a time."""
    words = [f"word{number} and more " for number in range(pieces)]
    parts = [_chunk(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}]) for text in words]
    parts[0] = HEAD + parts[0]
    usage = {"prompt_tokens": 42, "completion_tokens": 4 * pieces, "total_tokens": 42 + 4 * pieces}
    end = _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]) + _chunk(choices=[], usage=usage)
    parts[-1] += end + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
    return parts


class Stub(asyncio.Protocol):
    """One connection."""

    latency = gap = 0.0
    parts: ClassVar[list[bytes]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read."""
        self._transport, self._unread = transport, b""
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head = self._unread[:end].lower()
            place = head.find(b"content-length:")
            length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            if len(self._unread) < end + 4 + length:
                return
            body, self._unread = self._unread[end + 4 : end + 4 + length], self._unread[end + 4 + length :]
            streams = b'"stream":true' in body or b'"stream": true' in body
            begin = self._stream if streams else self._answer
            if self.latency:
                self._loop.call_later(self.latency, begin)
            else:
                begin()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(WHOLE)

    def _stream(self) -> None:
        if not self.gap:
            self._transport.write(b"".join(self.parts))
        else:
            self._next(0, self._loop.time())

    def _next(self, place: int, begun: float) -> None:
        """Write a piece; the next one is due by the clock, so that being late once does not make all later."""
        if self._transport.is_closing():
            return
        self._transport.write(self.parts[place])
        if place + 1 < len(self.parts):
            self._loop.call_at(begun + (place + 1) * self.gap, self._next, place + 1, begun)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--gap", type=float, default=0.0)
    parser.add_argument("--pieces", type=int, default=20)
    options = parser.parse_args()
    Stub.latency, Stub.gap, Stub.parts = options.latency, options.gap, stream(options.pieces)
    uvloop.run(_serve(options.port))
