"""A bare endpoint for measuring clients: answers every POST with the same chat completion after a fixed latency.

Speaks just enough HTTP/1.1 to be fast. `serving` runs it in a process of its own; `count` asks how many completions it
was asked for.
"""

import asyncio
import multiprocessing
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

BODY = (
    b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"sport"}}],'
    b'"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12}}'
)


def _reply(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Stub(asyncio.Protocol):
    """One connection."""

    latency = 0.0
    asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read."""
        self._transport = transport
        self._unread = b""

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head = self._unread[:end].lower()
            place = head.find(b"content-length:")
            length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            if len(self._unread) < end + 4 + length:
                return
            self._unread = self._unread[end + 4 + length :]
            self._answer(posted=head.startswith(b"post"))

    def _answer(self, *, posted: bool) -> None:
        if not posted:
            self._send(_reply(str(Stub.asked).encode()))
            return
        Stub.asked += 1
        if Stub.latency:
            asyncio.get_running_loop().call_later(Stub.latency, self._send, _reply(BODY))
        else:
            self._send(_reply(BODY))

    def _send(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)  # type: ignore[attr-defined]


async def _serve(pipe: Connection) -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=512)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _run(pipe: Connection, latency: float) -> None:
    import uvloop

    Stub.latency = latency
    uvloop.run(_serve(pipe))


@contextmanager
def serving(latency: float = 0.0) -> Iterator[str]:
    """Serve in a process of its own until the block ends; gives the base URL."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, latency), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.kill()
        process.join()


def count(url: str) -> int:
    """Return the number of completions that the endpoint was asked for so far."""
    with urllib.request.urlopen(f"{url}/count", timeout=10) as reply:
        return int(reply.read())
